import config from "../../deno.json" with { type: "json" };

/** The version printed and logged. */
export const VERSION: string = config.version;
