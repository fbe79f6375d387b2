package divisitest_test

import (
	"bytes"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/divisitest"
)

// TestExamples runs the tests and benchmarks that the examples show. The names are such that a
// pattern for them has to quote.
func TestExamples(t *testing.T) {
	t.Run("Cart (real)", testTotal)
	t.Run("Fake+Cart", testFake)
	t.Run("Slow", testSlow)
}

func BenchmarkTotal(b *testing.B) { benchmarkTotal(b) }

// TestBench runs the benchmark as go test -bench does, with the processes of its own that it needs.
func TestBench(t *testing.T) {
	out, err := again(t, "-test.run=^$", "-test.bench=^BenchmarkTotal$", "-test.benchtime=2x")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{"Local", "RPC", "Process"} {
		if !strings.Contains(out, "BenchmarkTotal/"+name) {
			t.Errorf("%s is not measured:\n%s", name, out)
		}
	}
}

// again runs this test binary again.
func again(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), "DIVISITEST_WRONG=1")
	if f := flag.Lookup("test.gocoverdir"); f != nil && f.Value.String() != "" {
		cmd.Args = append(cmd.Args, "-test.gocoverdir="+f.Value.String())
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// fatal runs a body by Run, and returns what the test was told before it ended.
func fatal(t *testing.T, r divisitest.Runner, body any) string {
	t.Helper()
	f := &fatals{failures: failures{TB: t}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(f, body)
	}()
	<-done
	if len(f.texts) > 1 {
		t.Errorf("%d failures: %q", len(f.texts), f.texts)
	}
	return strings.Join(f.texts, "\n")
}

// fatals is a test that also notes what ends it.
type fatals struct{ failures }

func (f *fatals) Fatal(args ...any) {
	f.texts = append(f.texts, fmt.Sprint(args...))
	runtime.Goexit()
}

func (f *fatals) Fatalf(format string, args ...any) { f.Fatal(fmt.Sprintf(format, args...)) }

func TestWrongBody(t *testing.T) {
	for name, body := range map[string]any{
		"nil":          nil,
		"no function":  "a string",
		"no test":      func() {},
		"another test": func(*testing.B, Cart) {},
		"result":       func(*fatals, Cart) error { return nil },
		"component":    func(Cart) {},
	} {
		want := fmt.Sprintf("the body of a test is a %T, not a func(*divisitest_test.fatals, components...)", body)
		if body == nil {
			want = strings.ReplaceAll(want, "%!T(<nil>)", "<nil>")
		}
		if got := fatal(t, divisitest.Local, body); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	unrun := func(body string) { t.Error("ran a body that is wrong: ", body) }
	for _, tc := range []struct {
		body    any
		runners []divisitest.Runner
		want    string
	}{
		{func(*fatals, unlinked) { unrun("unlinked") }, divisitest.AllRunners(),
			"no component with the interface divisitest_test.unlinked is linked"},
		{func(*fatals, int) { unrun("int") }, divisitest.AllRunners(), "int is not a component: give its interface"},
		{func(*fatals, cart) { unrun("cart") }, divisitest.AllRunners(), "divisitest_test.cart is not a component"},
		{func(*fatals, ...Cart) { unrun("variadic") }, divisitest.AllRunners(),
			"[]divisitest_test.Cart is not a component"},
	} {
		for _, runner := range tc.runners {
			if got := fatal(t, runner, tc.body); !strings.Contains(got, tc.want) {
				t.Errorf("%s: %q, want %q", runner.Name, got, tc.want)
			}
		}
	}
}

// TestWrongFunction is the test that TestWrongFunctions runs, and fails; BenchmarkWrong is the same.
func TestWrongFunction(t *testing.T) {
	if os.Getenv("DIVISITEST_WRONG") != "" {
		divisitest.Local.Test(t, func(*testing.B, Cart) {})
	}
}

func BenchmarkWrong(b *testing.B) {
	if os.Getenv("DIVISITEST_WRONG") != "" {
		divisitest.RPC.Bench(b, func(*testing.T) {})
	}
}

// TestWrongFunctions: Test and Bench fail the test itself, and run no subtest.
func TestWrongFunctions(t *testing.T) {
	for arg, want := range map[string]string{
		"-test.run=^TestWrongFunction$": "runner_test.go:%d: the body of a test is a " +
			"func(*testing.B, divisitest_test.Cart), not a func(*testing.T, components...)\n",
		"-test.bench=^BenchmarkWrong$": "runner_test.go:%d: the body of a test is a " +
			"func(*testing.T), not a func(*testing.B, components...)\n",
	} {
		args := []string{arg, "-test.v"}
		if strings.HasPrefix(arg, "-test.bench") {
			args = append(args, "-test.run=^$")
		}
		out, err := again(t, args...)
		_, want, _ = strings.Cut(want, "%d")
		if err == nil || strings.Count(out, want) != 1 || strings.Contains(out, "Wrong/") ||
			strings.Contains(out, "Function/") || !strings.Contains(out, "runner_test.go:") {
			t.Errorf("%s: %v, want one %q in\n%s", arg, err, want, out)
		}
	}
}

func TestConfig(t *testing.T) {
	const section = "[\"github.com/divisi-go/divisi/divisitest_test/Prices\"]\n"
	for _, runner := range divisitest.AllRunners() {
		for i, text := range []string{"Cents = { plum = 1 }\n", "[*.Cents]\nplum = 2\n"} {
			runner.Config = section + strings.ReplaceAll(text, "*", strings.Trim(section, "[]\n"))
			runner.Test(t, func(t *testing.T, prices Prices) {
				if got, err := prices.Price(t.Context(), "plum"); got != i+1 || err != nil {
					t.Errorf("plum: %d, %v, want %d", got, err, i+1)
				}
				if _, err := prices.Price(t.Context(), "fig"); err == nil {
					t.Error("a price that the configuration lacks has no error")
				}
			})
		}
	}
	for text, want := range map[string]string{
		"[x\n":                      "TestConfig.toml:1:",
		section + "Dollars = 1\n":   "Dollars",
		"[\"no/Component\"]\nx=1\n": "no/Component",
		section + "Cents = 'a'\n":   "Cents",
	} {
		runner := divisitest.Local
		runner.Config = text
		got := fatal(t, runner, func(*fatals, Prices) { t.Errorf("%q was taken", text) })
		if !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestWrongFakes(t *testing.T) {
	func() {
		defer func() {
			want := "divisitest.Fake: divisitest_test.slowPrices does not implement divisitest_test.Cart"
			if got := recover(); got != want {
				t.Errorf("panic %v, want %q", got, want)
			}
		}()
		divisitest.Fake[Cart](slowPrices{})
	}()
	for _, runner := range divisitest.AllRunners() {
		runner.Fakes = []divisitest.FakeComponent{divisitest.Fake[unlinked](new(brokenImpl))}
		got := fatal(t, runner, func(*fatals, Cart) { t.Error("ran with a fake of nothing") })
		if want := "a fake stands for divisitest_test.unlinked, but no such component is linked"; got != want {
			t.Errorf("%s: %q, want %q", runner.Name, got, want)
		}
	}
	runner := divisitest.Local
	runner.Fakes = []divisitest.FakeComponent{divisitest.Fake[Prices](onePrice(1))}
	got := fatal(t, runner, func(*fatals, *prices) { t.Error("ran with an implementation that is faked") })
	if want := "*divisitest_test.prices does not run in this test: a fake stands for it"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestBroken: a component that cannot start fails the test that uses it, and none else.
func TestBroken(t *testing.T) {
	for _, runner := range []divisitest.Runner{divisitest.Local, divisitest.RPC} {
		got := fatal(t, runner, func(*fatals, broken) { t.Error("ran with a component that is broken") })
		if !strings.Contains(got, "cannot start ") || !strings.Contains(got, "the disk is missing") {
			t.Errorf("%s: %q", runner.Name, got)
		}
	}
}

// TestTwice: the runner that shows methods which only seem retriable executes calls twice, but not
// those of methods that say so.
func TestTwice(t *testing.T) {
	for name, want := range map[string][]int{"Local": {1, 1}, "RPC": {2, 1}, "Process": {1, 1}} {
		runners := divisitest.AllRunners()
		runner := runners[slices.IndexFunc(runners, func(r divisitest.Runner) bool { return r.Name == name })]
		runner.Test(t, func(t *testing.T, c tally) {
			again, err := c.Again(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			once, err := c.Once(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := []int{again, once}; !slices.Equal(got, want) {
				t.Errorf("executed %v times, want %v", got, want)
			}
		})
	}
}

// TestImplementation: a body may take a component's struct, and the interface beside it.
func TestImplementation(t *testing.T) {
	for _, runner := range divisitest.AllRunners() {
		runner.Test(t, func(t *testing.T, impl *tallyImpl, c tally) {
			if _, err := c.Once(t.Context()); err != nil || impl.once != 1 {
				t.Errorf("executed %d times, %v", impl.once, err)
			}
		})
	}
}

// TestMainComponent: the struct of the application's main component runs beside the test, and what it
// refers to where it always is.
func TestMainComponent(t *testing.T) {
	for _, runner := range divisitest.AllRunners() {
		runner.Test(t, func(t *testing.T, d *desk) {
			pids := map[int]bool{}
			for range 10 {
				pid, err := d.clerk.Get().Pid(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				pids[pid] = true
			}
			if beside := pids[os.Getpid()]; beside != (runner.Name != "Process") {
				t.Errorf("processes %v, and the test's is %d", pids, os.Getpid())
			}
			served := make(chan error, 1)
			go func() { served <- http.Serve(d.bell, http.NotFoundHandler()) }()
			response, err := http.Get("http://" + d.bell.String())
			if err != nil || response.StatusCode != http.StatusNotFound {
				t.Fatalf("the listener: %v, %v", response, err)
			}
			response.Body.Close()
			d.bell.Close()
			<-served
		})
	}
}

// TestGroupNames: a group may be called like that of the test's own process, or begin like it.
func TestGroupNames(t *testing.T) {
	for _, group := range []string{"test", "test-clerk"} {
		runner := divisitest.Process
		runner.Name = group
		runner.Config = "[divisi.groups." + group + "]\n" +
			"components = ['github.com/divisi-go/divisi/divisitest_test/clerk']"
		runner.Test(t, func(t *testing.T, c clerk) {
			if pid, err := c.Pid(t.Context()); err != nil || pid == os.Getpid() {
				t.Errorf("process %d, which is the test's own: %v", pid, err)
			}
		})
	}
}

func TestLogger(t *testing.T) {
	var logged bytes.Buffer
	runner := divisitest.Local
	runner.Logger = slog.New(slog.NewTextHandler(&logged, nil))
	runner.Test(t, func(t *testing.T, c tally) {
		if _, err := c.Again(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	if text := logged.String(); !strings.Contains(text, "msg=executed component=github.com/divisi-go/divisi/divisitest_test/tally times=1") {
		t.Errorf("the logger got %q", text)
	}
}

// TestNames: the name of a copied runner is that of its subtest.
func TestNames(t *testing.T) {
	runner, ran := divisitest.RPC, ""
	runner.Name = "A name of its own"
	runner.Test(t, func(t *testing.T) { ran = t.Name() })
	if ran != "TestNames/A_name_of_its_own" {
		t.Errorf("the subtest is %q", ran)
	}
}
