// Opens a page in headless Chromium at three widths, light and dark, with and without JavaScript, and takes pictures.
// Called by report.py; prints one JSON document: what was found on each.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [playwright, executablePath, file, folder] = process.argv.slice(2);
const { chromium } = createRequire(pathToFileURL(playwright + "/"))("playwright-core");
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const found = [];
for (const width of [400, 1000, 1600])
  for (const colorScheme of ["light", "dark"])
    for (const javaScriptEnabled of [true, false]) {
      const context = await browser.newContext({ viewport: { width, height: 1000 }, colorScheme, javaScriptEnabled });
      const page = await context.newPage();
      const messages = [], requests = [];
      page.on("console", (message) => messages.push(message.text()));
      page.on("pageerror", (error) => messages.push(String(error)));
      page.on("request", (request) => requests.push(request.url().slice(0, 100)));
      await page.goto(pathToFileURL(file).href, { waitUntil: "networkidle" });
      const name = `${width}-${colorScheme}-${javaScriptEnabled ? "js" : "nojs"}`;
      const state = { name, messages, requests: requests.filter((url) => !url.startsWith("data:")) };
      const open = () => document.querySelectorAll("details").forEach((each) => { each.open = true; });
      const excess = () => document.documentElement.scrollWidth - innerWidth;
      state.too_wide = await page.evaluate(excess);
      if (javaScriptEnabled) {
        await page.screenshot({ path: `${folder}/${name}-top.png` });
        if (width === 1000 && colorScheme === "light") {
          const best = page.locator("details.rung[open]").last();
          for (const [what, place] of [
            ["chart", page.locator("svg.chart.wide")],
            ["matrix", best.locator("table.matrix")],
            ["tiles", best.locator(".tiles")],
            ["reliability", best.locator(".beside svg.chart")],
          ])
            if (await place.count()) await place.screenshot({ path: `${folder}/part-${what}.png` });
          await page.evaluate(() => scrollTo(0, 0));
        }
        await page.locator("details.rung > summary").last().click();
        await page.locator("#ladder th button").nth(1).click();
        state.sorted = await page.locator("#ladder th[aria-sort]").count();
        const mark = page.locator("svg.chart:visible .tip").first();
        if (await mark.count()) {
          await mark.scrollIntoViewIfNeeded();
          await mark.hover({ force: true });
          state.tooltip = await page.locator(".tooltip").textContent();
        }
        await page.mouse.move(0, 0);
        await page.locator("#ladder th button").nth(1).click();
        await page.locator("#ladder th button").nth(1).click();
      }
      await page.evaluate(open);
      await page.evaluate(() => scrollTo(0, 0));
      state.too_wide_open = await page.evaluate(excess);
      await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
      if (width === 1000 && colorScheme === "light" && !javaScriptEnabled)
        await page.pdf({ path: `${folder}/printed.pdf`, format: "A4", preferCSSPageSize: true });
      found.push(state);
      await context.close();
    }
await browser.close();
console.log(JSON.stringify(found, null, 1));
