// Opens the page of docs/mqtt.md, whose address is the first argument, in headless Chromium: prints each value that it shows, has it ask, and prints the answer.
// The library that the page loads from elsewhere is the one that is installed here.
import { PATIENCE_MS, launch } from "./shared.js";
import { build } from "esbuild";

const library = await build({ stdin: { contents: 'export { default } from "mqtt";', resolveDir: import.meta.dirname }, bundle: true, format: "esm", write: false });
const browser = await launch();
let code = 1;
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  await page.route("https://esm.sh/**", (route) => route.fulfill({
    contentType: "text/javascript", headers: { "Access-Control-Allow-Origin": "*" }, body: library.outputFiles[0].text,
  }));
  await page.goto(process.argv[2]);
  for (const value of ["21.5", "22.5"]) {
    await page.locator("#value", { hasText: value }).waitFor();
    console.log(value);
  }
  await page.click("#ask");
  await page.locator("#answer", { hasText: "fine" }).waitFor();
  console.log(await page.textContent("#answer"));
  code = 0;
} catch (error) {
  console.log(`FAILED ${error} ${error.stack}`);
} finally {
  await browser.close();
}
process.exit(code);
