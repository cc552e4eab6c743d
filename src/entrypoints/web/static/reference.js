// Shows /openapi.json in whichever of the two is loaded: Swagger UI (/docs) or Redoc (/redoc).

const SPECIFICATION = "/openapi.json";

if (window.SwaggerUIBundle) {
  window.SwaggerUIBundle({
    url: SPECIFICATION,
    dom_id: "#swagger-ui",
    deepLinking: true,
    displayRequestDuration: true,
    docExpansion: "none",
    filter: true,
    tryItOutEnabled: true,
    validatorUrl: null,
  });
}

if (window.Redoc) {
  keepImagesHere();
  window.Redoc.init(SPECIFICATION, { hideLoading: true, nativeScrollbars: true }, document.getElementById("reference"));
}

// Redoc's menu ends with a logo from its makers' host. This page asks no other host for anything.
function keepImagesHere() {
  const isHere = (url) => url.startsWith("data:") || new URL(url, location.href).origin === location.origin;
  const { setAttribute } = Element.prototype;
  const { get, set } = Object.getOwnPropertyDescriptor(HTMLImageElement.prototype, "src");
  HTMLImageElement.prototype.setAttribute = function (name, value) {
    if (name !== "src" || isHere(value)) setAttribute.call(this, name, value);
  };
  Object.defineProperty(HTMLImageElement.prototype, "src", {
    get,
    set(value) {
      if (isHere(value)) set.call(this, value);
    },
  });
}
