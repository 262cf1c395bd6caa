import assert from "node:assert/strict";
import { readAnswer, startApi } from "../support/http/api.ts";
import type { ApiDescription } from "../support/http/openapi.ts";

const ID = `sha256:${"0".repeat(64)}`;

Deno.test("/openapi.json describes every route, and every route answers as described", async () => {
  await using api = await startApi({ worker: false });
  const { value } = await readAnswer(await fetch(`${api.url}/openapi.json`));
  assert.equal(value.openapi, "3.1.0");
  const { paths } = value as ApiDescription;
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation }))
  );
  assert.deepEqual(operations.map(({ path, method }) => `${method} ${path}`).sort(), ROUTES);
  const names: Record<string, string> = {
    owner: "me",
    slug: "repo",
    repoId: "none",
    jobId: "none",
  };
  for (const { path, method, operation } of operations) {
    const statuses = Object.keys(operation.responses).map(Number);
    assert.ok(statuses.some((status) => status < 300), path);
    assert.ok(statuses.every((status) => operation.responses[status].description), path);
    // A request without parameters gets a described answer from the route itself.
    const target = path.replaceAll(/\{(\w+)\}/g, (_, name) => names[name] ?? ID);
    const answer = await api.admin.send(target, { method: method.toUpperCase() });
    assert.notEqual(answer.value?.code, "not-found", `${method} ${path}`);
    assert.notEqual(answer.status, 500, `${method} ${path}`);
  }
});

const ROUTES = [
  "delete /api/quotas/{owner}",
  "delete /api/quotas/{owner}/{slug}",
  "delete /api/repos/{repoId}",
  "delete /api/repos/{repoId}/webhooks/{webhookId}",
  "get /api/jobs",
  "get /api/jobs/{jobId}",
  "get /api/jobs/{jobId}/events",
  "get /api/quotas",
  "get /api/repos/{repoId}",
  "get /api/repos/{repoId}/webhooks",
  "get /api/repos/{repoId}/webhooks/{webhookId}/deliveries",
  "get /healthz",
  "get /metrics",
  "get /openapi.json",
  "get /readyz",
  "get /{owner}/{slug}",
  "get /{owner}/{slug}/blob/{commit}/{path}",
  "get /{owner}/{slug}/commits",
  "get /{owner}/{slug}/commits/{commit}",
  "get /{owner}/{slug}/objects/{objectId}",
  "get /{owner}/{slug}/packs",
  "get /{owner}/{slug}/refs",
  "get /{owner}/{slug}/tree/{commit}",
  "get /{owner}/{slug}/tree/{commit}/{path}",
  "patch /api/repos/{repoId}",
  "post /api/jobs/{jobId}/cancel",
  "post /api/jobs/{jobId}/retry",
  "post /api/repos",
  "post /api/repos/{repoId}/webhooks",
  "post /api/repos/{repoId}/webhooks/{webhookId}/deliveries/{deliveryId}/resend",
  "post /api/repos/{repoId}/webhooks/{webhookId}/rotate",
  "post /api/repos/{repoId}/webhooks/{webhookId}/test",
  "post /{owner}/{slug}/fetch",
  "post /{owner}/{slug}/filter-objects",
  "post /{owner}/{slug}/negotiate",
  "post /{owner}/{slug}/objects",
  "post /{owner}/{slug}/presign",
  "post /{owner}/{slug}/push",
  "post /{owner}/{slug}/push/mpack-complete",
  "post /{owner}/{slug}/push/mpack-presign",
  "post /{owner}/{slug}/push/objects",
  "post /{owner}/{slug}/push/stream",
  "post /{owner}/{slug}/push/unpack-mpack",
  "post /{owner}/{slug}/tags",
  "put /api/quotas/{owner}",
  "put /api/quotas/{owner}/{slug}",
  "put /api/uploads/{repoId}/{mpackKey}",
  "put /api/uploads/{repoId}/{mpackKey}/{uploadId}/{number}",
];
