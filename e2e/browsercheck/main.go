// Browsercheck loads every page of the example store, and the live page, in headless Chromium. It
// fails if a request fails, if a console shows an error, if a script throws, or if a picture does
// not show.
//
//	browsercheck [-browser chromium] [-screenshots FOLDER] STORE LIVEPAGE
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/chromedp/chromedp"
)

// Limits of time: of the whole journey, and of what is waited for.
const (
	limit    = 2 * time.Minute
	patience = 30 * time.Second
)

func main() {
	browser := flag.String("browser", "chromium", "the browser")
	folder := flag.String("screenshots", "", "folder for pictures of the store and the live page")
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: browsercheck [flags] STORE LIVEPAGE")
		os.Exit(2)
	}
	if err := run(*browser, *folder, flag.Arg(0), flag.Arg(1)); err != nil {
		fmt.Fprintln(os.Stderr, "browsercheck:", err)
		os.Exit(1)
	}
}

func run(browser, folder, store, live string) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	v, end, err := open(ctx, browser, folder)
	if err != nil {
		return err
	}
	defer end()
	v.store(store)
	v.live(live, store)
	if len(v.problems) > 0 {
		for _, p := range v.problems {
			fmt.Fprintln(os.Stderr, "  "+p)
		}
		return fmt.Errorf("%d problems on %d pages", len(v.problems), v.pages)
	}
	return nil
}

// open starts a browser, which end ends. The folder is for pictures, "" for none.
func open(ctx context.Context, browser, folder string) (v *visitor, end func(), err error) {
	profile, err := os.MkdirTemp("", "browsercheck")
	if err != nil {
		return nil, nil, err
	}
	ctx, endBrowser := chromedp.NewExecAllocator(ctx,
		chromedp.ExecPath(browser), chromedp.UserDataDir(profile),
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.WindowSize(1280, 900))
	ctx, endPage := chromedp.NewContext(ctx)
	end = func() {
		endPage()
		endBrowser()
		os.RemoveAll(profile)
	}

	w := &watch{}
	if err := errors.Join(chromedp.Listen(ctx, w.see), chromedp.Do(ctx, enable)); err != nil {
		end()
		return nil, nil, fmt.Errorf("cannot start the browser: %w", err)
	}
	return &visitor{ctx: ctx, watch: w, folder: folder}, end, nil
}

// visitor goes from page to page.
type visitor struct {
	ctx      context.Context
	watch    *watch
	folder   string
	pages    int
	problems []string
}

// page does what leads to a page, waits for something on it, and looks at it.
func (v *visitor) page(name, sign string, actions ...action) {
	v.pages++
	ctx, cancel := context.WithTimeout(v.ctx, patience)
	defer cancel()
	err := chromedp.Do(ctx, append(actions,
		chromedp.WaitVisible(chromedp.CSS(sign)),
		chromedp.Poll[chromedp.Void](`document.readyState === "complete"`))...)
	var broken []string
	if err == nil {
		broken, err = chromedp.Run(ctx, chromedp.Evaluate[[]string](brokenPictures, chromedp.EvalAwaitPromise))
	}
	if err != nil {
		v.problems = append(v.problems, fmt.Sprintf("%s: %v (waiting for %s)", name, err, sign))
	}
	for _, src := range broken {
		v.problems = append(v.problems, fmt.Sprintf("%s: the picture %s does not show", name, src))
	}
	for _, p := range v.watch.take() {
		v.problems = append(v.problems, name+": "+p)
	}
}

// brokenPictures waits for all pictures, also those that load lazily, and returns those without
// any.
const brokenPictures = `Promise.all([...document.images].map(async img => {
	img.loading = "eager";
	try { await img.decode(); } catch (e) { return img.src; }
	return img.naturalWidth > 0 ? "" : img.src;
})).then(all => all.filter(src => src))`

func (v *visitor) store(url string) {
	at := func(path string) action { return chromedp.Navigate(url + path) }
	click := func(what string) action { return chromedp.Click(chromedp.CSS(what)) }
	v.page("home", `a[href^="/product/"]`, at("/"))
	v.picture("store.png")
	v.page("search", "main", at("/search?q=piano"))
	v.page("about", "main", at("/about"))
	v.watch.expect(404)
	v.page("not found", "main", at("/there-is-no-such-page"))
	v.watch.expect(0)
	v.page("product", "form.buy", at("/"), click(`main a[href^="/product/"]`))
	v.page("cart", `a[href="/checkout"]`, click("form.buy button"))
	v.page("checkout", "form.order", click(`a[href="/checkout"]`))
	var fields []action
	for _, f := range [][2]string{
		{"name", "Clara Wieck"}, {"street", "Inselstrasse 18"}, {"postcode", "04103"}, {"city", "Leipzig"},
		{"email", "clara@example.org"}, {"card", "4242 4242 4242 4242"},
		{"expiry", time.Now().AddDate(3, 0, 0).Format("01/06")}, {"code", "123"},
	} {
		fields = append(fields, chromedp.SendKeys(chromedp.CSS("#"+f[0]), f[1]))
	}
	v.page("confirmation", "[data-order]", append(fields, click("form.order button"))...)
}

func (v *visitor) live(url, store string) {
	v.page("live page", `#graph [data-node]`, chromedp.Navigate(url),
		chromedp.Poll[chromedp.Void](`document.querySelectorAll("#replicas tbody tr[data-replica]").length > 1 &&
			document.querySelectorAll("#methods tbody tr").length > 1`))
	// Its rates show what is called while it is open.
	v.page("live page, rates", `#graph .edge.on`, visits(store),
		chromedp.Poll[chromedp.Void](`document.querySelector("#calls").textContent !== "0"`))
	v.picture("live.png")
	v.page("live page, dark", `#graph [data-node]`,
		dark)
	v.picture("live-dark.png")
	v.page("live page, narrow", `#graph [data-node]`, chromedp.EmulateViewport(390, 844),
		chromedp.Poll[chromedp.Void](`document.documentElement.scrollWidth <= 390`))
	v.picture("live-narrow.png")
}

// visits calls pages of the store without the browser.
func visits(store string) action {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		for range 20 {
			for _, path := range []string{"/", "/search?q=piano", "/cart"} {
				request, err := http.NewRequestWithContext(ctx, "GET", store+path, nil)
				if err != nil {
					return err
				}
				response, err := http.DefaultClient.Do(request)
				if err != nil {
					return err
				}
				response.Body.Close()
			}
		}
		return nil
	})
}

// picture writes a picture of the whole page.
func (v *visitor) picture(name string) {
	if v.folder == "" {
		return
	}
	png, err := chromedp.Run(v.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(v.folder, name), png, 0o644)
	}
	if err != nil {
		v.problems = append(v.problems, fmt.Sprintf("cannot take the picture %s: %v", name, err))
	}
}
