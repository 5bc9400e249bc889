// Ends this browser's session.
"use strict";

document.getElementById("log-out").addEventListener("click", async () => {
  await fetch("/api/session", { method: "DELETE" });
  location.replace("/");
});
