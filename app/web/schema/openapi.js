/** The HTTP reference: Swagger UI over openapi.json, as light or dark as the reader's system. */

const dark = matchMedia("(prefers-color-scheme: dark)");
const colour = () => document.documentElement.classList.toggle("dark-mode", dark.matches);

colour();
dark.addEventListener("change", colour);

globalThis.SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#reference",
  deepLinking: true,
  displayOperationId: true,
  displayRequestDuration: true,
  validatorUrl: null, // else a server elsewhere is asked to draw a badge
});
