/** JSON Schemas as people read them, and examples of what they describe. */

/** Where a reference leads within its document. */
export const target = (document, reference) =>
  reference
    .slice(2)
    .split("/")
    .reduce((found, key) => found[key], document);

/** The fields of an object: name, whether it is required, what it holds, and what is said of it. */
export function fieldsOf({ properties, required = [] }) {
  return Object.entries(properties).map(([name, schema]) => ({
    name,
    required: required.includes(name),
    kind: [...kindOf(schema), ...limitsOf(schema)],
    about: schema.description ?? "",
  }));
}

/** A list of texts and of `{shape}`, the name of a schema. */
function kindOf(schema) {
  if (schema.$ref) return [{ shape: schema.$ref.split("/").at(-1) }];
  if ("const" in schema) return [JSON.stringify(schema.const)];
  if (schema.enum) return [schema.enum.map((value) => JSON.stringify(value)).join(" or ")];
  const members = schema.oneOf ?? schema.anyOf ?? schema.allOf;
  if (members) return members.flatMap((member, index) => (index ? [" or ", ...kindOf(member)] : kindOf(member)));
  if (Array.isArray(schema.type)) return [schema.type.join(" or ")];
  if (schema.type === "array") {
    const items = kindOf(schema.items);
    return items.length > 1 ? ["array of (", ...items, ")"] : ["array of ", ...items];
  }
  return [schema.format ?? schema.type ?? "any JSON"];
}

function limitsOf({ minLength, maxLength, maxItems, pattern }) {
  const limits = [];
  if (maxLength) limits.push(`${minLength ? `${minLength} to` : "up to"} ${maxLength.toLocaleString("en")} characters`);
  if (maxItems) limits.push(`up to ${maxItems}`);
  if (pattern) limits.push(`matches ${pattern}`);
  return limits.map((limit) => `, ${limit}`);
}

const TEXTS = {
  id: "3-17",
  position: "3-17",
  requested: "3-17",
  earliest: "4-1",
  latest: "4-9",
  run_id: "run_7f3a",
  session_id: "ses_51c2",
  call_id: "call_1",
  request_id: "r1",
};

/** What such a message looks like: every required field, and the optional ones that say what it is about. */
export function example(document, schema, name = "text") {
  if (schema.$ref) return example(document, target(document, schema.$ref), name);
  if ("const" in schema) return schema.const;
  if (schema.enum) return schema.enum[0];
  const members = schema.oneOf ?? schema.anyOf;
  if (members) return example(document, members[0], name);
  if (schema.properties) {
    const shown = Object.entries(schema.properties).filter(([key]) => schema.required?.includes(key));
    return Object.fromEntries(shown.map(([key, value]) => [key, example(document, value, key)]));
  }
  switch (schema.type) {
    case "object":
      return {};
    case "array":
      return [];
    case "integer":
      return 1;
    case "boolean":
      return true;
    case "string":
      return schema.format === "date-time" ? "2026-01-02T03:04:05Z" : (TEXTS[name] ?? "…");
    default:
      return null;
  }
}
