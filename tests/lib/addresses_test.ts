import assert from "node:assert/strict";
import { checkRange, networkOf, parseAddresses } from "../../src/lib/addresses.ts";

Deno.test("networkOf() counts all addresses of one IPv6 client as one", () => {
  assert.equal(networkOf("192.0.2.1"), "192.0.2.1");
  const same = [
    "2001:db8::1",
    "2001:db8:0:0:ffff::",
    "2001:0DB8:0000:0000:1:2:3:4",
    "2001:db8::1%eth0",
  ];
  assert.deepEqual(new Set(same.map(networkOf)), new Set(["2001:db8:0:0::/64"]));
  assert.equal(networkOf("2001:db8:0:1::1"), "2001:db8:0:1::/64");
  assert.equal(networkOf("::1"), "0:0:0:0::/64");
  assert.equal(networkOf("1:2:3:4:5:6:7::"), "1:2:3:4::/64");
});

Deno.test("parseAddresses() finds addresses in lists and ranges", () => {
  const set = parseAddresses("10.0.0.1, 10.1.0.0/16,2001:db8::/32, ::1");
  const inside = ["10.0.0.1", "10.1.255.255", "2001:db8:ffff::1", "::1"];
  const outside = ["10.0.0.2", "10.2.0.0", "2001:db9::1", "::2", "x", "", "10.0.0.1 "];
  assert.deepEqual(inside.filter((address) => !set.has(address)), []);
  assert.deepEqual(outside.filter((address) => set.has(address)), []);
  assert.equal(parseAddresses(undefined).isEmpty, true);
});

Deno.test("checkRange() refuses what is no address or range", () => {
  for (const range of ["10.0.0.1", "10.0.0.0/8", "::/0", "2001:db8::/128"]) {
    assert.equal(checkRange(range), undefined);
  }
  for (
    const range of ["", "x", "10.0.0.0/33", "::/129", "10.0.0.0/8/8", "10.0.0.0/-1", "1.2.3/8"]
  ) {
    assert.match(checkRange(range)!, /is neither/);
  }
});
