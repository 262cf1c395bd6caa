/** A column that mpackd reads or writes. */
export interface ColumnShape {
  /** Its type if mpackd creates it. */
  readonly type: string;
  /** Its default, as SQL. */
  readonly initially?: string;
  /** Whether it is NOT NULL in a table that mpackd creates. */
  readonly required?: boolean;
  /** How many characters it must be able to hold. */
  readonly minCharacters?: number;
  /** Whether it is an identity column. */
  readonly identity?: boolean;
}

/** A table that another program may have made already. */
export interface TableShape {
  readonly table: string;
  readonly columns: Readonly<Record<string, ColumnShape>>;
  /** The columns of its primary key. */
  readonly key: readonly string[];
  /** Further unique column lists. */
  readonly unique?: readonly (readonly string[])[];
}

/** A column as `information_schema` describes it. */
export interface FoundColumn {
  readonly table_name: string;
  readonly column_name: string;
  /** Its type as standard SQL spells it. */
  readonly data_type: string;
  /** How many characters it can hold; null: any number. */
  readonly max_length: number | null;
  /** Whether an insert must give it a value. */
  readonly is_demanded: boolean;
}

/** For each type of mpackd's, the types of other programs that can hold all its values. */
const FITTING: Readonly<Record<string, readonly string[]>> = {
  text: ["text", "character varying"],
  "text[]": ["ARRAY"],
  bigint: ["bigint", "numeric"],
  integer: ["integer", "bigint", "numeric"],
  boolean: ["boolean"],
  timestamptz: ["timestamp with time zone", "timestamp without time zone"],
  json: ["json", "jsonb"],
};

/**
 * Finds the columns of existing tables that mpackd cannot use.
 *
 * @returns One sentence for each of them.
 */
export function findObstacles(
  shapes: readonly TableShape[],
  found: readonly FoundColumn[],
): string[] {
  const obstacles: string[] = [];
  for (const column of found) {
    const shape = shapes.find(({ table }) => table === column.table_name);
    if (shape === undefined) continue;
    const name = `${column.table_name}.${column.column_name}`;
    const wanted = Object.hasOwn(shape.columns, column.column_name)
      ? shape.columns[column.column_name]
      : undefined;
    if (wanted === undefined) {
      if (column.is_demanded) {
        obstacles.push(
          `${name} is NOT NULL without a default, and mpackd has nothing to put there`,
        );
      }
      continue;
    }
    const type = wanted.type.split(" ")[0];
    if (!FITTING[type].includes(column.data_type)) {
      obstacles.push(`${name} is ${column.data_type} where ${type} is needed`);
    } else if (column.max_length !== null && column.max_length < (wanted.minCharacters ?? 0)) {
      obstacles.push(
        `${name} holds ${column.max_length} characters where ${wanted.minCharacters} are needed`,
      );
    }
  }
  return obstacles;
}

/** SQL that creates the table, or adds the missing columns and unique indexes. */
export function createOrComplete({ table, columns, key, unique = [] }: TableShape): string {
  const define = (name: string, { type, initially, required, identity }: ColumnShape) =>
    `${name} ${type}${identity ? " generated always as identity" : ""}` +
    `${initially === undefined ? "" : ` default ${initially}`}${required ? " not null" : ""}`;
  const definitions = Object.entries(columns).map(([name, column]) => define(name, column));
  const additions = Object.entries(columns).map(([name, column]) =>
    `add column if not exists ${define(name, { ...column, required: false })}`
  );
  return [
    `create table if not exists ${table} (`,
    `  ${[...definitions, `primary key (${key.join(", ")})`].join(",\n  ")}`,
    ");",
    `alter table ${table}\n  ${additions.join(",\n  ")};`,
    ...[key, ...unique].map((list) => uniqueIndex(table, list)),
  ].join("\n");
}

/** SQL that makes a unique index over exactly these columns, which ON CONFLICT needs. */
function uniqueIndex(table: string, columns: readonly string[]): string {
  const names = columns.map((column) => `'${column}'`).join(", ");
  return `if not exists (
  select from pg_index i
  where i.indrelid = '${table}'::regclass and i.indisunique and i.indpred is null
    and (select array_agg(a.attname::text order by a.attname::text)
         from pg_attribute a where a.attrelid = i.indrelid and a.attnum = any(i.indkey))
      = (select array_agg(n order by n) from unnest(array[${names}]) n)
) then
  create unique index on ${table} (${columns.join(", ")});
end if;`;
}
