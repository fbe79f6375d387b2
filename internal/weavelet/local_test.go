package weavelet

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/tally"
	"github.com/divisi-go/divisi/internal/trace"
	"github.com/divisi-go/divisi/internal/weavelet/weavelettest"
	"github.com/divisi-go/divisi/metrics"
)

// TestOrder: what is used starts first, and ends last; what nobody needs does not start.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // methods Ready have the time that they are given
		w := newWorld(t, map[string]*behaviour{
			"A": {Refs: []string{"B", "C"}}, "B": {Refs: []string{"C"}}, "C": {}, "D": {},
		})
		app := w.local(LocalOptions{})
		if err := app.Start(t.Context(), "t/p/A"); err != nil {
			t.Fatal(err)
		}
		if got := w.Done(); got != "init C, init B, init A" {
			t.Errorf("start: %s", got)
		}
		if _, ok := app.Implementation("t/p/D"); ok {
			t.Error("D runs")
		}
		if h := app.Examine(); len(h.Reasons) > 0 || len(h.Ready) != 3 {
			t.Errorf("health: %+v", h)
		}
		if err := app.Start(t.Context(), "t/p/A", "t/p/D"); err != nil {
			t.Fatal(err)
		}
		app.End(t.Context(), StopTime, nil)
		app.End(t.Context(), StopTime, nil)
		want := "init D, drain D, drain A, drain B, drain C, shutdown D, shutdown A, shutdown B, shutdown C"
		if got := w.Done(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

func TestAlways(t *testing.T) {
	w := newWorld(t, map[string]*behaviour{"A": {}, "B": {Always: true, Refs: []string{"C"}}, "C": {}, "D": {}})
	if err := w.local(LocalOptions{}).Start(t.Context(), "t/p/A"); err != nil {
		t.Fatal(err)
	}
	if got := w.Done(); got != "init A, init C, init B" {
		t.Errorf("start: %s", got)
	}
}

// TestCycle: components that refer to each other work, but not within Init.
func TestCycle(t *testing.T) {
	for _, encoded := range []bool{false, true} {
		nodes := map[string]*behaviour{
			"A": {Refs: []string{"B"}, Do: forward("B")}, "B": {Refs: []string{"C"}, Do: forward("C")}, "C": {Refs: []string{"A"}},
			"D": {},
		}
		w := newWorld(t, nodes)
		app := w.local(LocalOptions{Encoded: encoded})
		if err := app.Start(t.Context(), "t/p/A"); err != nil {
			t.Fatal(err)
		}
		if got, err := client[a](t, app).Do(t.Context(), []string{"x"}); err != nil || !slices.Equal(got, []string{"x", "C"}) {
			t.Errorf("encoded %v: %q, %v", encoded, got, err)
		}

		// C comes last by its references, but its Init needs A, which waits for it.
		nodes["C"].Init = func(ctx context.Context, n self) error {
			_, err := n.Refs["A"].Do(ctx, nil)
			return err
		}
		err := newWorld(t, nodes).local(LocalOptions{Encoded: encoded}).Start(t.Context(), "t/p/A")
		wantError(t, err, codegen.ErrRemoteCall, "cannot start t/p/C: ", "p.A is used in the Init of t/p/C",
			"(p.C -> p.A -> p.B -> p.C): use it after Init")

		// The shortest circle is a component that uses itself.
		alone := map[string]*behaviour{"A": {Refs: []string{"A"}, Init: func(ctx context.Context, n self) error {
			_, err := n.Refs["A"].Do(ctx, nil)
			return err
		}}}
		err = newWorld(t, alone).local(LocalOptions{Encoded: encoded}).Start(t.Context(), "t/p/A")
		wantError(t, err, codegen.ErrRemoteCall, "(p.A -> p.A)")

		// What is in no cycle may be used in Init.
		nodes["C"] = &behaviour{Refs: []string{"A", "D"}, Init: func(ctx context.Context, n self) error {
			_, err := n.Refs["D"].Do(ctx, nil)
			return err
		}}
		w = newWorld(t, nodes)
		if err := w.local(LocalOptions{Encoded: encoded}).Start(t.Context(), "t/p/A"); err != nil {
			t.Error(err)
		}
		if got := w.Done(); got != "init D, init C, do D, init B, init A" {
			t.Errorf("start: %s", got)
		}
	}
}

type limits struct {
	Limit int
	Wait  time.Duration
}

func (l *limits) Validate() error {
	if l.Limit > 100 {
		return fmt.Errorf("limit %d is over 100", l.Limit)
	}
	return nil
}

func TestConfig(t *testing.T) {
	parse := func(text string) config.App {
		app, err := config.Parse("app.toml", text, config.Options{Components: []string{"t/p/A"}})
		if err != nil {
			t.Fatal(err)
		}
		return app
	}
	start := func(text string, preset limits) (limits, error) {
		w := newWorld(t, map[string]*behaviour{"A": {Config: &preset, Refs: []string{"B"}}, "B": {}})
		err := w.local(LocalOptions{Config: parse(text)}).Start(t.Context(), "t/p/A")
		if did := w.Done(); err != nil && strings.Contains(did, "init") {
			t.Errorf("%q: with a wrong configuration, %s", text, did)
		}
		return preset, err
	}
	got, err := start("['t/p/A']\nlimit = 7\nwait = '1m'", limits{Limit: 3})
	if want := (limits{Limit: 7, Wait: time.Minute}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err = start("", limits{Limit: 3}); err != nil || got.Limit != 3 {
		t.Errorf("%+v, %v", got, err)
	}
	_, err = start("\n['t/p/A']\nlimt = 7", limits{})
	wantError(t, err, nil, "t/p/A: app.toml:3:1: ", `did you mean "limit"?`)
	_, err = start("['t/p/A']\n\nlimit = 'x'", limits{})
	wantError(t, err, nil, "app.toml:3:9: ")
	_, err = start("['t/p/A']\nlimit = 101", limits{})
	wantError(t, err, nil, "t/p/A: app.toml:1:1: limit 101 is over 100")
	_, err = start("", limits{Limit: 102})
	wantError(t, err, nil, "t/p/A: without a section in the configuration: limit 102 is over 100")
}

func TestStartErrors(t *testing.T) {
	w := newWorld(t, map[string]*behaviour{"A": {Refs: []string{"B"}}, "B": {Init: func(context.Context, self) error { return errWrong }}})
	app := w.local(LocalOptions{})
	wantError(t, app.Start(t.Context(), "t/p/A"), errWrong, "cannot start t/p/B: wrong")
	want := []string{"p.A waits for the start of what it uses", "cannot start t/p/B: wrong"}
	if h := app.Examine(); !slices.Equal(h.Reasons, want) || len(h.Ready) != 0 || h.Denied {
		t.Errorf("health: %+v", h)
	}
	_, err := client[b](t, app).Do(t.Context(), nil)
	wantError(t, err, errWrong)
	app.End(t.Context(), StopTime, nil)
	if got := w.Done(); got != "init B" {
		t.Errorf("what did not start is ended: %s", got)
	}

	wantError(t, app.Start(t.Context(), "t/p/Aa"), nil, `the binary has no component t/p/Aa`, `did you mean "t/p/A"?`)

	w = newWorld(t, map[string]*behaviour{"A": {Refs: []string{"Nobody"}}})
	wantError(t, w.local(LocalOptions{}).Start(t.Context(), "t/p/A"), nil,
		"the binary has no component t/p/Nobody: import the package")
	wantError(t, w.local(LocalOptions{}).Host(t.Context(), "t/p/A"), nil,
		"t/p/A refers to fmt.Stringer, but no implementation is linked")
	_, err = w.local(LocalOptions{}).Client("test", reflect.TypeFor[fmt.Stringer](), "")
	wantError(t, err, nil, "no implementation of fmt.Stringer is linked")

	w = newWorld(t, map[string]*behaviour{"A": {Listener: "web"}})
	app = w.local(LocalOptions{Config: config.App{Single: config.Single{
		Listeners: map[string]config.Listener{"web": {Address: "300.0.0.1:0"}},
	}}})
	wantError(t, app.Start(t.Context(), "t/p/A"), nil, "cannot open the listener web of t/p/A", "300.0.0.1", "listeners.web = {")
}

// TestStaleDescription: a component that got fields since its code was generated does not start.
func TestStaleDescription(t *testing.T) {
	for want, make := range map[string]func(*behaviour, *codegen.Info){
		"the reference to p.B": func(b *behaviour, i *codegen.Info) { b.Refs, i.Refs = []string{"B"}, nil },
		"the listener web":     func(b *behaviour, i *codegen.Info) { b.Listener, i.Listeners = "web", []string{"wb"} },
		"the configuration":    func(b *behaviour, i *codegen.Info) { b.Config, i.Config = &limits{}, false },
	} {
		a := &behaviour{}
		w := newWorld(t, map[string]*behaviour{"A": a, "B": {}})
		make(a, &w.app.Registry.Components[0].Info)
		wantError(t, w.local(LocalOptions{}).Start(t.Context(), "t/p/A"), nil,
			want+" of ", "is newer than its generated code: run divisi generate")
	}
}

// TestPanics: a panic of a component is an error of whoever called it, and is logged.
func TestPanics(t *testing.T) {
	for _, encoded := range []bool{false, true} {
		w := newWorld(t, map[string]*behaviour{
			"A": {Refs: []string{"B"}, Do: func(context.Context, self, []string) ([]string, error) { panic("at the " + "disco") }},
			"B": {Shutdown: func(context.Context) error { panic("no end") }},
			"C": {Init: func(context.Context, self) error { panic("no beginning") }},
		})
		app := w.local(LocalOptions{Encoded: encoded})
		if err := app.Start(t.Context(), "t/p/A"); err != nil {
			t.Fatal(err)
		}
		_, err := client[a](t, app).Do(t.Context(), nil)
		wantError(t, err, codegen.ErrPanic, "at the disco")
		wantError(t, app.Start(t.Context(), "t/p/C"), codegen.ErrPanic, "cannot start t/p/C", "no beginning")
		app.End(t.Context(), StopTime, nil)
		if got := w.Done(); !strings.HasSuffix(got, "shutdown A, shutdown B") {
			t.Errorf("end: %s", got)
		}
		for _, text := range []string{"at the disco", "method=Do", "local_test.go", "no end", "method=Shutdown"} {
			if !strings.Contains(w.Logs.String(), text) {
				t.Errorf("encoded %v: the log lacks %q:\n%s", encoded, text, w.Logs)
			}
		}
	}
}

// TestEndHangs: one component that does not end takes the time of all, but keeps none from being
// told.
func TestEndHangs(t *testing.T) {
	stuck := make(chan struct{})
	defer close(stuck)
	hang := func(context.Context) error { <-stuck; return nil }
	w := newWorld(t, map[string]*behaviour{
		"A": {Refs: []string{"B"}, Drain: hang, Shutdown: hang}, "B": {},
	})
	app := w.local(LocalOptions{})
	if err := app.Start(t.Context(), "t/p/A"); err != nil {
		t.Fatal(err)
	}
	w.Done()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errWrong)
	app.Drain(ctx)
	app.Shutdown(ctx)
	if n := strings.Count(w.Logs.String(), `err="it has not returned: wrong"`); n < 2 {
		t.Errorf("the log has not both errors of A:\n%s", w.Logs)
	}
}

// TestEndWhileDrained: an end that comes while the weavelet is being drained shuts nothing down before
// that is over.
func TestEndWhileDrained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proceed := make(chan struct{})
		w := newWorld(t, map[string]*behaviour{"A": {Drain: func(context.Context) error { <-proceed; return nil }}})
		app := w.local(LocalOptions{})
		if err := app.Start(t.Context(), "t/p/A"); err != nil {
			t.Fatal(err)
		}
		go app.Drain(t.Context())
		synctest.Wait()
		given, cancel := context.WithCancel(t.Context())
		cancel()
		app.Drain(given) // waits no longer than its context lives

		go app.End(given, StopTime, nil)
		synctest.Wait()
		if got := w.Done(); got != "init A, drain A" {
			t.Errorf("while it is drained: %s", got)
		}
		close(proceed)
		synctest.Wait()
		if got := w.Done(); got != "shutdown A" {
			t.Errorf("after that: %s", got)
		}
	})
}

// TestEncoded: calls mean the same with and without encoding.
func TestEncoded(t *testing.T) {
	for _, encoded := range []bool{false, true} {
		w := newWorld(t, map[string]*behaviour{
			"A": {Refs: []string{"B"}, Do: func(ctx context.Context, n self, words []string) ([]string, error) {
				words[0] = "changed by A"
				return n.Refs["B"].Do(ctx, words)
			}},
			"B": {Do: func(_ context.Context, _ self, words []string) ([]string, error) {
				words[0] = "changed by B"
				return words, context.DeadlineExceeded
			}},
		})
		app := w.local(LocalOptions{Encoded: encoded})
		if err := app.Start(t.Context(), "t/p/A"); err != nil {
			t.Fatal(err)
		}
		words := []string{"x", "y"}
		got, err := client[a](t, app).Do(t.Context(), words)
		if !slices.Equal(got, []string{"changed by B", "y"}) || words[0] != "x" {
			t.Errorf("encoded %v: %q, of %q", encoded, got, words)
		}
		wantError(t, err, context.DeadlineExceeded)
	}
}

// TestTwice: retriable methods are executed twice, once for each call at the outermost level.
func TestTwice(t *testing.T) {
	w := newWorld(t, map[string]*behaviour{"A": {Refs: []string{"B"}, Do: forward("B")}, "B": {}})
	app := w.local(LocalOptions{Encoded: true, Twice: true})
	if err := app.Start(t.Context(), "t/p/A"); err != nil {
		t.Fatal(err)
	}
	w.Done()
	got, err := client[a](t, app).Do(t.Context(), []string{"x"})
	if err != nil || !slices.Equal(got, []string{"x", "B"}) {
		t.Errorf("%q, %v", got, err)
	}
	// The extra one of A with its B, then A, with an extra one of B.
	if got := w.Done(); got != "do A, do B, do A, do B, do B" {
		t.Errorf("executed: %s", got)
	}
	if _, err := client[b](t, app).Once(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if got := w.Done(); got != "do B" {
		t.Errorf("executed: %s", got)
	}
}

func TestStream(t *testing.T) {
	for _, encoded := range []bool{false, true} {
		ended := make(chan int, 10)
		w := newWorld(t, map[string]*behaviour{"A": {Count: func(_ context.Context, n int) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				sent := 0
				defer func() { ended <- sent }()
				for sent < n {
					sent++
					if !yield(sent, nil) {
						return
					}
				}
				if n == 5 {
					panic("at five")
				}
				yield(0, errWrong)
			}
		}}})
		app := w.local(LocalOptions{Encoded: encoded, Twice: true})
		if err := app.Start(t.Context(), "t/p/A"); err != nil {
			t.Fatal(err)
		}
		sum := func(n, most int) (total int, last error) {
			for v, err := range client[a](t, app).Count(t.Context(), n) {
				total, last = total+v, err
				if most--; most == 0 {
					break
				}
			}
			return total, last
		}
		if got, err := sum(4, 0); got != 10 || err == nil || err.Error() != "wrong" || <-ended != 4 {
			t.Errorf("encoded %v: %d, %v", encoded, got, err)
		}
		if got, err := sum(1000, 2); got != 3 || err != nil {
			t.Errorf("encoded %v: %d, %v", encoded, got, err)
		}
		if sent := <-ended; sent > 3 {
			t.Errorf("encoded %v: the stream that was left sent %d elements", encoded, sent)
		}
		got, err := sum(5, 0)
		if got != 15 || <-ended != 5 {
			t.Errorf("encoded %v: %d", encoded, got)
		}
		wantError(t, err, codegen.ErrPanic, "at five")
	}
}

// TestEndedContext: a call or stream whose context has ended, or whose method ends its goroutine,
// fails in the same way wherever the method is executed.
func TestEndedContext(t *testing.T) {
	for _, encoded := range []bool{false, true} {
		w := newWorld(t, map[string]*behaviour{"A": {
			Do: func(ctx context.Context, _ self, _ []string) ([]string, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
			Count: func(ctx context.Context, n int) iter.Seq2[int, error] {
				return func(yield func(int, error) bool) {
					for i := 0; i != n && yield(i, nil); i++ {
					}
					if n > 0 {
						runtime.Goexit()
					}
					<-ctx.Done() // and ends, as if it were complete
				}
			},
		}})
		app := w.local(LocalOptions{Encoded: encoded})
		if err := app.Start(t.Context(), "t/p/A"); err != nil {
			t.Fatal(err)
		}

		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(10*time.Millisecond, func() { cancel(errWrong) })
		_, err := client[a](t, app).Do(ctx, nil)
		wantError(t, err, context.Canceled)
		_, err = client[a](t, app).Do(ctx, nil)
		wantError(t, err, context.Canceled)

		late, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer stop()
		for _, n := range []int{-1, 0} {
			var last error
			for _, err := range client[a](t, app).Count(late, n) {
				last = err
			}
			wantError(t, last, context.DeadlineExceeded)
		}
		if !encoded {
			continue // it would end this goroutine
		}
		var last error
		for _, err := range client[a](t, app).Count(t.Context(), 1) {
			last = err
		}
		wantError(t, last, codegen.ErrPanic)
	}
}

// TestDirect: the implementation itself, filled and started first, even in a circle.
func TestDirect(t *testing.T) {
	w := newWorld(t, map[string]*behaviour{
		"A": {Refs: []string{"!B"}, Do: func(_ context.Context, n self, words []string) ([]string, error) {
			n.Refs["B"].Do(t.Context(), words)
			return words, nil
		}},
		"B": {Refs: []string{"C", "!A"}, Do: func(ctx context.Context, n self, words []string) ([]string, error) {
			words[0] = "shared"
			return n.Refs["C"].Do(ctx, nil)
		}},
		"C": {},
	})
	app := w.local(LocalOptions{Encoded: true})
	if err := app.Start(t.Context(), "t/p/A"); err != nil {
		t.Fatal(err)
	}
	if got := w.Done(); got != "init C, init B, init A" {
		t.Errorf("start: %s", got)
	}
	got, err := client[a](t, app).Do(t.Context(), []string{"x"})
	if err != nil || !slices.Equal(got, []string{"shared"}) || w.Done() != "do A, do B, do C" {
		t.Errorf("%q, %v", got, err)
	}
	impl, ok := app.Implementation("t/p/A")
	if n, isNode := impl.(*weavelettest.Node[a]); !ok || !isNode || n.Self.Refs["B"].(*weavelettest.Node[b]).Self.Refs["A"] != doer(n) {
		t.Errorf("implementation %T, %v", impl, ok)
	}
}

func TestFakes(t *testing.T) {
	w := newWorld(t, map[string]*behaviour{"A": {Refs: []string{"B"}, Do: forward("B")}, "B": {}})
	fake := weavelettest.NewNode[b](w.World, "fake", &behaviour{})
	app := w.local(LocalOptions{Fakes: map[string]any{"t/p/B": fake}})
	if err := app.Start(t.Context(), "t/p/A"); err != nil {
		t.Fatal(err)
	}
	if got, err := client[a](t, app).Do(t.Context(), nil); err != nil || !slices.Equal(got, []string{"fake"}) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestHost(t *testing.T) {
	var host *Host
	w := newWorld(t, map[string]*behaviour{"A": {Init: func(ctx context.Context, n self) error {
		host = n.Host.(*Host)
		host.Logger(ctx).Info("hello")
		return nil
	}}})
	if err := w.local(LocalOptions{}).Start(t.Context(), "t/p/A"); err != nil {
		t.Fatal(err)
	}
	if s := host.Self(); s.App != "app" || s.Component != "p.A" || s.Replica != "all-0@/app" || s.Domain != "/app" || s.Version == "" || s.Pid == 0 {
		t.Errorf("self %+v", s)
	}
	if !strings.Contains(w.Logs.String(), "msg=hello component=t/p/A") {
		t.Errorf("log %s", w.Logs)
	}
}

// TestConcurrentStart: whoever starts a component while another sets its fields waits for them.
func TestConcurrentStart(t *testing.T) {
	setting, set := make(chan struct{}), make(chan struct{})
	w := newWorld(t, map[string]*behaviour{"A": {
		BeforeSet: func() { close(setting); <-set },
		Init: func(_ context.Context, n self) error {
			if n.Host == nil {
				return errors.New("Init before the fields are set")
			}
			return nil
		},
	}})
	app := w.local(LocalOptions{})
	errs := make(chan error)
	start := func() { errs <- app.Start(t.Context(), "t/p/A") }
	go start()
	<-setting
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() { errs <- app.Start(ctx, "t/p/A") }()
	cancel(errWrong)
	if err := <-errs; err != errWrong {
		t.Errorf("a start that is given up: %v", err)
	}
	go start()
	close(set)
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got := w.Done(); got != "init A" {
		t.Errorf("start: %s", got)
	}
}

// told is the network of a weavelet whose deployer says that everything is here.
type told struct{ Network }

func (told) Connect(*Weavelet, *codegen.Component) (Remote, error) { return told{}, nil }
func (told) Section(string) (config.Section, bool)                 { return "", false }
func (told) Resolve(context.Context) (bool, error)                 { return true, nil }
func (told) Call(context.Context, *codegen.Request, trace.SpanContext, time.Time) (codegen.Status, []byte, time.Time, error) {
	return 0, nil, time.Now(), errors.New("a call to elsewhere")
}
func (told) Stream(context.Context, *codegen.Request, trace.SpanContext) (codegen.Receiver, error) {
	return nil, errors.New("a stream to elsewhere")
}

// TestStartByCall: a component that is here, but that the deployer has not yet asked to start,
// starts with its first call, wholly, and does not end with that call.
func TestStartByCall(t *testing.T) {
	begun, proceed := make(chan struct{}), make(chan struct{})
	w := newWorld(t, map[string]*behaviour{
		"A": {Refs: []string{"B"}, Do: forward("B"), Init: func(ctx context.Context, _ self) error {
			close(begun)
			<-proceed
			return ctx.Err()
		}},
		"B": {},
	})
	app := w.local(LocalOptions{})
	app.network = told{}
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error)
	go func() {
		_, err := client[a](t, app).Do(ctx, nil)
		done <- err
	}()
	<-begun
	cancel(errWrong)
	// Whatever the cause is; Local gives up first, and Call after it.
	wantError(t, <-done, context.Canceled)
	close(proceed)
	got, err := client[a](t, app).Do(t.Context(), nil)
	if err != nil || !slices.Equal(got, []string{"B"}) {
		t.Errorf("%q, %v", got, err)
	}
	if got := w.Done(); got != "init A, do A, init B, do B" {
		t.Errorf("did: %s", got)
	}
}

// TestReadyWhileAsked: a look at the components that begins before any is asked for, and ends after that,
// finds no weavelet ready.
func TestReadyWhileAsked(t *testing.T) {
	for range 200 {
		w := newWorld(t, map[string]*behaviour{"A": {}, "B": {}})
		app := w.local(LocalOptions{})
		var expected atomic.Bool
		var looks sync.WaitGroup
		looking := make(chan struct{})
		looks.Go(func() {
			close(looking)
			for last := false; !last; {
				last = expected.Load()
				if h := app.Examine(); len(h.Reasons) == 0 {
					t.Error("ready before a component has started")
				}
			}
		})
		<-looking
		if err := app.Expect("t/p/A", "t/p/B"); err != nil {
			t.Error(err)
		}
		expected.Store(true)
		looks.Wait()
	}
}

// TestReady: calls may come when every component that has a say says so.
func TestReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // methods Ready have the time that they are given
		var no error
		w := newWorld(t, map[string]*behaviour{"A": {Ready: func() error { return no }}, "B": {}, "C": {Ready: func() error {
			if no != nil {
				panic(no)
			}
			return nil
		}}})
		app := w.local(LocalOptions{})
		if err := app.Start(t.Context(), "t/p/A", "t/p/B", "t/p/C"); err != nil {
			t.Fatal(err)
		}
		if h := app.Examine(); len(h.Reasons) > 0 || len(h.Ready) != 3 {
			t.Errorf("health: %+v", h)
		}
		no = errWrong
		h := app.Examine()
		if !h.Denied || !slices.Equal(h.Ready, []string{"t/p/B"}) || len(h.Reasons) != 2 ||
			h.Reasons[0] != "p.A is not ready: wrong" || !strings.HasPrefix(h.Reasons[1], "p.C is not ready: component panicked: wrong (") {
			t.Errorf("health: %+v", h)
		}
	})
}

// TestReadyNews: whoever looks at the components when there are news of them does not look without end.
func TestReadyNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var no error
		w := newWorld(t, map[string]*behaviour{"A": {Ready: func() error { return no }}})
		app := w.local(LocalOptions{})
		if err := app.Start(t.Context(), "t/p/A"); err != nil {
			t.Fatal(err)
		}
		for _, no = range []error{nil, errWrong, errors.New("other"), nil} {
			app.Examine()
			synctest.Wait()
			<-app.News()
			for range 3 {
				app.Examine()
				synctest.Wait()
				select {
				case <-app.News():
					t.Errorf("%v is news again", no)
				default:
				}
			}
		}
	})
}

// TestLocalMetrics: local calls are counted on request, each of them, with their errors, and the
// time of some is taken.
func TestLocalMetrics(t *testing.T) {
	count := func(local bool) (calls, errors, timed uint64) {
		failure := false
		w := newWorld(t, map[string]*behaviour{
			"A": {Refs: []string{"B"}, Do: forward("B")},
			"B": {Do: func(context.Context, self, []string) ([]string, error) {
				if failure = !failure; failure {
					return nil, context.Canceled
				}
				panic("on purpose")
			}},
		})
		var o LocalOptions
		o.Config.Metrics.Local = local
		app := w.local(o)
		if err := app.Start(t.Context(), "t/p/A"); err != nil {
			t.Fatal(err)
		}
		a, _ := app.Implementation("t/p/A")
		for range 2 * tally.Sample {
			if _, err := a.(doer).Do(t.Context(), nil); err == nil {
				t.Fatal("no error")
			}
		}
		for _, m := range app.Metrics() {
			remote := slices.ContainsFunc(m.Labels, func(l metrics.Label) bool {
				return l.Name == "remote" && l.Value != "false"
			})
			switch {
			case remote:
				t.Errorf("%s is of remote calls: %v", m.Name, m.Labels)
			case m.Name == "divisi_method_count":
				calls += uint64(m.Value)
			case m.Name == "divisi_method_error_count":
				errors += uint64(m.Value)
			case m.Name == "divisi_method_latency_micros":
				for _, n := range m.Counts {
					timed += n
				}
			default:
				t.Errorf("%s says nothing about local calls", m.Name)
			}
		}
		return calls, errors, timed
	}
	if calls, errors, timed := count(true); calls != 2*tally.Sample || errors != calls || timed != 2 {
		t.Errorf("%d calls, %d errors, %d of them timed", calls, errors, timed)
	}
	if calls, _, _ := count(false); calls != 0 {
		t.Errorf("%d calls are counted without being asked for", calls)
	}
}

// TestStreamsAreCounted: a stream to another process is one call in metrics and traces, however it
// ends.
func TestStreamsAreCounted(t *testing.T) {
	var spans []*trace.Span
	exported := make(chan []*trace.Span, 10)
	w := newWorld(t, map[string]*behaviour{"A": {Count: func(_ context.Context, n int) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for i := range n {
				if !yield(i, nil) {
					return
				}
			}
			if n == 0 {
				panic("none")
			}
		}
	}}})
	app := w.local(LocalOptions{Encoded: true, Trace: trace.Options{
		Every:  trace.Always,
		Export: func(_ context.Context, batch []*trace.Span) error { exported <- batch; return nil },
	}})
	if err := app.Start(t.Context(), "t/p/A"); err != nil {
		t.Fatal(err)
	}

	for _, n := range []int{3, 1000, 0} {
		for v := range client[a](t, app).Count(t.Context(), n) {
			if v == 10 {
				break
			}
		}
	}
	values := map[string]float64{}
	for _, m := range app.Metrics() {
		if slices.Contains(m.Labels, metrics.Label{Name: "remote", Value: "true"}) {
			values[m.Name] = m.Value
		}
	}
	if values["divisi_method_count"] != 3 || values["divisi_method_error_count"] != 1 || values["divisi_method_bytes_reply"] == 0 {
		t.Errorf("metrics %v", values)
	}

	ctx, end := context.WithCancel(t.Context())
	end()
	app.tracer.Serve(ctx)
	close(exported)
	failed := 0
	for batch := range exported {
		spans = append(spans, batch...)
	}
	for _, s := range spans {
		if s.Kind == trace.Client && s.Status == trace.Failed {
			failed++
		}
	}
	if len(spans) != 3 || failed != 1 {
		t.Errorf("%d spans, %d of them failed", len(spans), failed)
	}
}
