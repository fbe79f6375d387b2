package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/divisi-go/divisi/internal/control"
)

var pictures = flag.String("pictures", "", "folder for pictures of the live page")

// TestProgram: a program of package system is seen and operated on the live page.
func TestProgram(t *testing.T) {
	browser := findBrowser(t)
	s := newSite(t)
	v, end, err := open(t.Context(), browser, *pictures)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(end)
	former := s.run("SUBJECT_FORMER=1")
	s.until("it asks", func() bool { return len(s.questions()) == 1 })
	former.end()

	visit := func(name, sign string, actions ...action) {
		t.Helper()
		v.page(name, sign, actions...)
		if len(v.problems) > 0 {
			v.picture("problem.png")
			t.Fatal(strings.Join(v.problems, "\n"))
		}
	}
	visit("killed", row("former@/orderd"), chromedp.Navigate(s.page()), shows("#state", "not running"), shows("#resume", "Run it again: cd "),
		shows(row("former@/orderd"), "ready"), shows("#questions", "address already in use"),
		is(`[...document.querySelectorAll("#tree .acts button")].every(b => b.hidden)`))
	v.picture("program-killed.png")
	s.run()
	s.until("it asks again", func() bool { return len(s.questions()) == 1 })
	visit("tree", row("positiond@/orderd"), shows(row("positiond@/orderd"), "ready"), is(`document.querySelector("#resume").hidden`))
	s.answerWrongly(visit, v.watch)
	visit("answer", row("orders@/orderd/eu"), fill("#questions input", "8081"), press("#questions .main"),
		is(`document.querySelector("#asked").hidden`), shows(row("reports@/orderd/eu"), "ready"),
		shows(row("former@/orderd"), "unclaimed"), shows("#state", "running"))
	visit("events", "#events tbody tr", shows("#events", "/orderd/port is asked: listen tcp"), shows("#events", "/orderd/port was answered: a value was given"),
		shows("#events", "positiond@/orderd runs already, as process"), shows("#events", "reports@/orderd/eu started as process"),
		shows("#events", "/orderd/eu is ready"))
	v.picture("program.png")

	s.restart(t, visit, v)
	visit("log", "#log tbody tr", press(row("orders@/orderd/eu")+" th button"), shows("#log", "orders goes on"),
		is(`!document.querySelector("#log").textContent.includes("positiond")`),
		is(`[...document.querySelectorAll("#log tr")].filter(r => r.textContent.includes("goes on")).length > 2`))
	s.elsewhere(t, visit, v)
	s.set(visit, v.watch)
	s.fail(t, visit, v)
	for _, p := range v.watch.take() {
		t.Error(p)
	}
}

// findBrowser returns the browser of the test.
func findBrowser(t *testing.T) string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if file, err := exec.LookPath(name); err == nil {
			return file
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("no browser: install Chromium")
	}
	t.Skip("there is no Chromium here, in which the live page would be looked at")
	return ""
}

// Actions on the page.

func row(server string) string { return fmt.Sprintf("#tree tr[data-server=%q]", server) }

func is(condition string) action { return chromedp.Poll[chromedp.Void](condition) }

func shows(what, text string) action {
	return is(fmt.Sprintf("document.querySelector(%q)?.textContent.includes(%q)", what, text))
}

// press presses something when it can be pressed: a button cannot while what it began goes on.
func press(what string) action {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		return chromedp.Do(ctx, is(fmt.Sprintf("document.querySelector(%q)?.disabled === false", what)), chromedp.Click(chromedp.CSS(what)))
	})
}

func fill(what, text string) action {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		empty := chromedp.Evaluate[chromedp.Void](fmt.Sprintf("void (document.querySelector(%q).value = \"\")", what))
		return chromedp.Do(ctx, empty, chromedp.SendKeys(chromedp.CSS(what), text))
	})
}

// confirm presses something, and says that it is meant.
func confirm(what string) action {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		return chromedp.Do(ctx, press(what), chromedp.WaitVisible(chromedp.CSS("#sure-yes")), press("#sure-yes"),
			is(`!document.querySelector("#sure").open`))
	})
}

// hastily presses something, says that it is not meant, presses it again at once, and says that it is.
func hastily(what string) action {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		presses := fmt.Sprintf(`void [%q, "#sure-no", %q].forEach(b => document.querySelector(b).click())`, what, what)
		return chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](presses), press("#sure-yes"), is(`!document.querySelector("#sure").open`))
	})
}

type visitFunc func(name, sign string, actions ...action)

// answerWrongly: a value that cannot be meant is refused at its field, with the words of the program.
func (s *site) answerWrongly(visit visitFunc, w *watch) {
	visit("question", "#questions .main", shows("#questions", "address already in use"), shows("#questions", "a whole number"))
	w.expect(400)
	visit("refusal", "#questions .wrong", fill("#questions input", "81"), press("#questions .main"),
		shows("#questions .wrong", `is refused: use a port from 1024 on`),
		is(`document.querySelector("#questions input").ariaInvalid === "true"`))
	w.expect(0)
}

// restart: what is restarted has another process; what is drained stays down until it is started.
func (s *site) restart(t *testing.T, visit visitFunc, v *visitor) {
	process := row("positiond@/orderd") + " td:nth-child(3)"
	before, err := chromedp.Run(v.ctx, chromedp.Text(chromedp.CSS(process)))
	if err != nil {
		t.Fatal(err)
	}
	restart, drain := row("positiond@/orderd")+" .acts button:nth-of-type(1)", row("positiond@/orderd")+" .acts button:nth-of-type(2)"
	visit("not meant", "#tree", press(restart), press("#sure-no"), is(`!document.querySelector("#sure").open`))
	visit("restart", process, confirm(restart), shows("#said", "positiond was restarted"),
		is(fmt.Sprintf("!document.querySelector(%q).textContent.includes(%q) && /^[0-9]+$/.test(document.querySelector(%q).textContent)", process, before, process)))
	visit("drain", process, confirm(drain), shows(row("positiond@/orderd"), "stopped"))
	visit("start", process, hastily(restart), shows("#said", "positiond was started"), shows(row("positiond@/orderd"), "ready"))
}

// elsewhere: a server on another host is there with its host, its state and its log, also while nobody reaches it, and is
// restarted as any other.
func (s *site) elsewhere(t *testing.T, visit visitFunc, v *visitor) {
	quotes := row("quotes@/orderd")
	visit("other host", quotes, shows(quotes, "server on far"), shows(quotes, "ready"),
		is(fmt.Sprintf("/^[0-9]+$/.test(document.querySelector(%q).textContent)", quotes+" td:nth-child(3)")),
		is(fmt.Sprintf("!document.querySelector(%q).textContent.includes(' on ')", row("positiond@/orderd"))))
	visit("its log", "#log tbody tr", press(quotes+" th button"), shows("#log", "quotes goes on"),
		is(`!document.querySelector("#log").textContent.includes("positiond")`))
	v.picture("program-hosts.png")

	cut := filepath.Join(s.far, "cut")
	if err := os.WriteFile(cut, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	visit("cut", quotes, is(fmt.Sprintf("document.querySelector(%q).textContent === 'its host is cut'", quotes+" td:nth-of-type(6)")), shows(quotes+" .chip.warn", "ready"),
		shows(row("positiond@/orderd")+" .chip.good", "ready"), shows("#serversReady", "3 of 4"), shows("#state", "degraded"))
	v.picture("program-cut.png")
	if err := os.Remove(cut); err != nil {
		t.Fatal(err)
	}
	visit("mended", quotes, is(fmt.Sprintf("!document.querySelector(%q).textContent.includes('cut')", quotes)), shows("#state", "running"))
	visit("restart elsewhere", quotes, confirm(quotes+" .acts button:nth-of-type(1)"), shows("#said", "quotes was restarted"), shows(quotes, "ready"))
}

// set: a value is set, unless the program refuses it, and a verb answers.
func (s *site) set(visit visitFunc, w *watch) {
	w.expect(400)
	visit("value that is refused", "#values .wrong", fill("#values input", "2000000"), press("#values button"),
		shows("#values .wrong", "at most 1000000"))
	w.expect(0)
	visit("value", "#values", fill("#values input", "30000"), press("#values button"), shows("#said", "max-orders is 30000"),
		is(`document.querySelector("#values .wrong").hidden`))
	visit("verb", "#verbs form:last-child output", fill("#verbs form:last-child .field:nth-of-type(1) input", "4"), fill("#verbs form:last-child .field:nth-of-type(2) input", "5 6"),
		press("#verbs form:last-child button"), shows("#verbs form:last-child output", "shards [4 5 6]"))
}

// fail: what fails too often becomes a question, which goes when somebody else answers it.
func (s *site) fail(t *testing.T, visit visitFunc, v *visitor) {
	if err := os.WriteFile(s.broken, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	status, err := s.client().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range status.Replicas {
		if r.Name == "reports@/orderd/eu" {
			if err := exec.Command("kill", "-KILL", fmt.Sprint(r.Pid)).Run(); err != nil {
				t.Fatal(err)
			}
		}
	}
	visit("failure", "#questions .main", shows("#questions", "has failed too often"), shows("#tree", "failed"), shows("#state", "degraded"),
		shows("#events", "/orderd/eu has failed too often, and starts again in"), shows("#events", "was ended by the signal killed"),
		is(`!document.querySelector("#questions input")`), is(`document.title.startsWith("(1) ")`))
	v.picture("program-failed.png")
	visit("failure, dark", "#tree", dark)
	v.picture("program-dark.png")
	visit("failure, narrow", "#tree", chromedp.EmulateViewport(390, 844), is(`document.documentElement.scrollWidth <= 390`))
	v.picture("program-narrow.png")

	if err := os.Remove(s.broken); err != nil {
		t.Fatal(err)
	}
	if err := s.client().Answer(t.Context(), control.Answer{Key: "/orderd/eu", Kind: control.Retry}); err != nil {
		t.Fatal(err)
	}
	visit("answered by somebody else", "#tree", is(`document.querySelector("#asked").hidden`), shows(row("reports@/orderd/eu"), "ready"),
		shows("#state", "running"))
}
