/** The version printed and logged. */
export const VERSION = "0.1.0";
