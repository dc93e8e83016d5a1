// What the journeys share: a platform of their own, a browser, and how a shopper does things.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { chromium } from "playwright-core";

const require = createRequire(import.meta.url);
const axeText = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

/** The repository's root. */
export const root = resolve(import.meta.dirname, "../..");

const shots = process.env.CELLAR_SHOTS || join(root, ".cellar-shots");
mkdirSync(shots, { recursive: true });

// Pictures for docs/storefront.md: what a window shows of some pages, small enough to be kept with the text.
const pictures = process.env.CELLAR_PICTURES;
const pictured = new Set([
  "home-desktop-light", "search-desktop-light", "product-reviewed-desktop-light", "product-reviewed-desktop-dark", "cart-saved-desktop-light", "delivery-desktop-light",
  "payment-desktop-light", "order-desktop-light", "order-desktop-dark", "account-desktop-light", "home-phone-dark", "product-phone-light", "cart-phone-light", "order-phone-dark",
]);

/** Starts a platform with ports moved by offset; gives its address and how to run cellctl against it and end it. */
export async function platform(offset) {
  const dir = mkdtempSync(join(tmpdir(), "cellar-browser-"));
  const cellctl = (...args) => run(join(root, "bin/cellctl"), ["--dir", dir, ...args]);
  const up = spawn(join(root, "bin/cellctl"), ["--dir", dir, "up", "--port-offset", String(offset), "--products", "2000"], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((done) => up.once("exit", done));
  await new Promise((ready, failed) => {
    let said = "";
    up.stdout.on("data", (b) => { said += b; if (said.includes("Shop at")) ready(); });
    up.once("exit", (code) => failed(new Error(`cellctl up ended with ${code}:\n${said}`)));
  });
  return {
    at: `http://127.0.0.1:${8080 + offset}`, cellctl,
    /** The newest e-mail to an address whose subject has some words, once it is there. */
    async mail(to, words) {
      for (let i = 0; i < 60; i++) {
        const answer = await fetch(`http://127.0.0.1:${8070 + offset}/mail/messages?to=${encodeURIComponent(to)}`);
        const found = (await answer.json()).messages.find((m) => m.subject.includes(words));
        if (found) return found;
        await new Promise((done) => setTimeout(done, 250));
      }
      throw new Error(`nobody has written to ${to} about "${words}"`);
    },
    async stop() {
      up.kill("SIGTERM");
      await ended;
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Runs a program to its end; what it wrote, or an error. */
export function run(program, args) {
  return new Promise((done, failed) => {
    const p = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
    let out = "";
    p.stdout.on("data", (b) => { out += b; });
    p.stderr.on("data", (b) => { out += b; });
    p.once("exit", (code) => (code === 0 ? done(out) : failed(new Error(`${program} ${args.join(" ")}: ${code}\n${out}`))));
  });
}

/** The browser of this machine. */
export function browser() {
  const path = process.env.CHROMIUM || ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"].find(existsSync);
  if (!path) throw new Error("there is no Chromium here: install it (Debian: apt-get install chromium), or name it in CHROMIUM");
  return chromium.launch({ executablePath: path, args: ["--no-sandbox", "--disable-quic", "--disable-background-networking"] });
}

/** The ways in which every page is looked at. */
export const looks = [
  { name: "desktop-light", viewport: { width: 1280, height: 900 }, colorScheme: "light" },
  { name: "desktop-dark", viewport: { width: 1280, height: 900 }, colorScheme: "dark" },
  { name: "phone-light", viewport: { width: 320, height: 640 }, colorScheme: "light" },
  { name: "phone-dark", viewport: { width: 320, height: 640 }, colorScheme: "dark" },
];

/** Takes a picture of a page. */
export async function glance(page, name) {
  await page.screenshot({ path: join(shots, `${name.replaceAll(/\W+/g, "-")}.png`), fullPage: true });
}

/** Takes a picture of a page, and has it looked over: nothing inaccessible, nothing wider than the window. */
export async function examine(page, look, name) {
  await glance(page, `${name}-${look.name}`);
  if (pictures && pictured.has(`${name}-${look.name}`)) {
    await page.evaluate(() => scrollTo(0, 0));
    await page.screenshot({ path: join(root, pictures, `${name}-${look.name}.jpg`), type: "jpeg", quality: 60 });
  }
  const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  const found = [];
  if (wider > 0) found.push(`${name}, ${look.name}: ${wider} px wider than the window`);
  await page.evaluate(axeText);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  for (const v of violations) found.push(`${name}, ${look.name}: ${v.id}: ${v.help}\n    ${v.nodes.slice(0, 3).map((n) => n.html).join("\n    ")}`);
  return found;
}

export const home = { recipient: "Ada L.", line1: "1 Main St", postal: "02108", locality: "Boston", area: "MA" };

/** Looks for words, opens the first product and puts it into the cart; gives its title. */
export async function putIn(page, at, words, quantity = 1) {
  await page.goto(`${at}/search?q=${encodeURIComponent(words)}`);
  await page.locator(".card h3 a").first().click();
  await page.waitForURL("**/p/**");
  const title = await page.locator("h1").textContent();
  await page.getByLabel("How many").fill(String(quantity));
  await page.getByRole("button", { name: "Add to cart" }).click();
  await page.waitForURL("**/cart");
  return title;
}

/** Says where to, up to the last step before the order. */
export async function deliver(page, at, address = home) {
  await page.goto(`${at}/checkout`);
  for (const [field, value] of Object.entries(address)) await page.locator(`#${field}`).fill(value);
  await page.getByRole("button", { name: "Go on" }).click();
  await page.getByRole("heading", { name: "Review and pay" }).waitFor();
}

/** Chooses a card and orders; the page that follows. */
export async function order(page, card = "Visa test card") {
  await page.getByLabel(new RegExp(card)).check();
  await page.getByRole("button", { name: "Place order" }).click();
}

/** Makes an account; the page is signed in. */
export async function signUp(page, at, name) {
  const email = `${name.split(" ")[0].toLowerCase()}-${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}@example.com`;
  await page.goto(`${at}/signup`);
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("E-mail address").fill(email);
  await page.getByLabel("Password").fill("a long enough password");
  await page.getByRole("button", { name: "Make an account" }).click();
  await page.getByText("Welcome. You are signed in.").waitFor({ timeout: 30_000 }); // a password is hashed, slowly on purpose
  return email;
}

/** Loads a page again until something is there: what comes by events is there within moments. */
export async function until(page, there) {
  for (let i = 0; i < 40 && !(await there().count()); i++) {
    await page.waitForTimeout(500);
    await page.reload();
  }
  await there().first().waitFor();
}

/** Writes a file of lines; its path. */
export function written(name, lines) {
  const path = join(mkdtempSync(join(tmpdir(), "cellar-file-")), name);
  writeFileSync(path, `${lines.join("\n")}\n`);
  return path;
}

/** Writes a file of purchases, by 40 customers for each basket; its path. */
export function history(baskets) {
  return written("purchases.csv", baskets.flatMap((basket, n) => Array.from({ length: 40 }, (_, i) => basket.map((sku) => `c${n}-${i},${sku}`)).flat()));
}

/** Fills in the form of a review and sends it. */
export async function review(page, stars, title, text) {
  await page.getByLabel(new RegExp(`^${stars} star`)).check();
  await page.getByLabel("Title").fill(title);
  await page.getByLabel("Your review").fill(text);
  await page.getByRole("button", { name: /Publish|Save/ }).click();
}
