package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/divisi-go/divisi/cmd/divisi/cli"
	"github.com/divisi-go/divisi/internal/keeper/door"
)

// asCommand is the variable with which this test is the command divisi.
const asCommand = "BROWSERCHECK_COMMAND"

func TestMain(m *testing.M) {
	door.Enter()
	if os.Getenv(asCommand) != "" {
		os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

const document = `[ensemble]
domain = "/test"
[servers."web@www"]
count = 2
program = "sh"
args = ["-c", "echo I am {name}; exec sleep 1000"]
also = ["front", "public"]
[servers.db]
program = "sleep"
args = ["1000"]
`

// TestEnsemble: the page shows the domains of an ensemble with their servers and roles, and does what the commands do, which
// stays so.
func TestEnsemble(t *testing.T) {
	browser := findBrowser(t)
	s := newHome(t)
	t.Setenv("DIVISI_HOME", s.home.Dir)
	file := filepath.Join(filepath.Dir(s.home.Dir), "ensemble.toml")
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	up := exec.Command(os.Args[0], "up", file)
	up.Env = append(os.Environ(), asCommand+"=yes")
	s.begin(up)
	v, end, err := open(t.Context(), browser, *pictures)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(end)

	visit := func(name, sign string, actions ...action) {
		t.Helper()
		v.page(name, sign, actions...)
		if len(v.problems) > 0 {
			v.picture("problem.png")
			t.Fatal(strings.Join(v.problems, "\n"))
		}
	}
	web := func(n string) string { return row("web-" + n + "@/test/www") }
	first, second := web("0")+" .acts button:nth-of-type(1)", web("0")+" .acts button:nth-of-type(2)"
	s.until("it runs", func() bool {
		doors, _ := s.home.Doors()
		return len(doors) > 0
	})
	visit("domains", web("1"), chromedp.Navigate(s.page()), shows("#tree-title", "Domains and servers"), shows("#tree", "domain"),
		shows(web("0"), "ready"), shows(web("0"), "server, front, public"), shows("#serversReady", "3 of 3"), shows("#state", "running"))
	visit("log", "#log tbody tr", press(web("1")+" th button"), shows("#log", "I am web-1"), is(`!document.querySelector("#log").textContent.includes("web-0")`))
	visit("restart", web("0"), confirm(first), shows("#said", "web-0 was restarted"), shows(web("0"), "ready"))

	stopped := `[...document.querySelectorAll("#tree tr")].find(r => r.textContent.includes("web-0"))`
	visit("stop", "#tree", confirm(second), shows("#said", "web-0 has ended, and stays down"), is(stopped+`.textContent.includes("stopped")`), shows("#serversReady", "2 of 3"))
	v.picture("ensemble-stopped.png")
	begin := chromedp.Evaluate[chromedp.Void]("void " + stopped + `.querySelector(".acts button").click()`)
	visit("start", web("0"), begin, press("#sure-yes"), shows("#said", "web-0 was started"), shows(web("0"), "ready"), shows("#serversReady", "3 of 3"))

	visit("scale", web("2"), fill("#values input", "3"), confirm("#values button"), shows("#said", "web@/test/www is 3"), shows(web("2"), "ready"))
	v.watch.expect(400)
	visit("what cannot be", "#values .wrong", fill("#values input", "many"), confirm("#values button"), shows("#values .wrong", "write NAME@/DOMAIN=NUMBER"))
	v.watch.expect(0)
	v.picture("ensemble.png")
	for _, p := range v.watch.take() {
		t.Error(p)
	}
}
