package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestMain(m *testing.M) {
	// The first notification starts a goroutine, which must not belong to a bubble.
	warm := make(chan os.Signal, 1)
	signal.Notify(warm, syscall.SIGTERM)
	signal.Stop(warm)
	os.Exit(m.Run())
}

// diary is what happens in a program, with the seconds since it began.
type diary struct {
	begun time.Time
	mu    sync.Mutex // guards lines
	lines []string
}

func (d *diary) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf("%v ", time.Since(d.begun).Seconds())+fmt.Sprintf(format, args...))
}

// actor is a member that does what it is told to, and keeps a diary.
type actor struct {
	name    string
	diary   *diary
	ready   time.Duration // until it is ready
	life    time.Duration // until it returns by itself; 0 for never
	end     time.Duration // from the end of its context on
	deaf    chan struct{} // if not nil, it does not return before this is closed
	failure error         // of its life or, if it has none, of its end
	unready error
}

func (a *actor) String() string { return a.name }

func (a *actor) Serve(ctx context.Context) error {
	var life <-chan time.Time
	if a.life > 0 {
		life = time.After(a.life)
	}
	select {
	case <-life:
		a.diary.note("%s has ended", a.name)
		return a.failure
	case <-ctx.Done():
	}

	ending, cancel := Ending(ctx)
	defer cancel()
	deadline, _ := ending.Deadline()
	a.diary.note("%s ends, within %v", a.name, time.Until(deadline).Seconds())
	if a.deaf != nil {
		<-a.deaf
	}
	time.Sleep(a.end)
	if a.failure != nil && a.life == 0 {
		return a.failure
	}
	return ctx.Err()
}

func (a *actor) Ready(ctx context.Context) error {
	a.diary.note("%s starts", a.name)
	select {
	case <-time.After(a.ready):
		return a.unready
	case <-ctx.Done():
		return ctx.Err()
	}
}

var (
	errOne = errors.New("one failed")
	errTwo = errors.New("two failed")
)

func TestRun(t *testing.T) {
	const second = time.Second
	deaf := make(chan struct{}) // replaced by one of the bubble
	for name, tc := range map[string]struct {
		members []actor
		asked   time.Duration // when ctx ends; 0 for never
		want    string        // the error's text
		is      []error
		diary   string
	}{
		"in order": {
			members: []actor{{name: "one", ready: 2 * second, end: second}, {name: "two", ready: second, end: 3 * second}},
			asked:   10 * second,
			diary:   "0 one starts, 2 two starts, 10 two ends, within 27, 13 one ends, within 24, 14 over",
		},
		"finished": {
			members: []actor{{name: "one", life: 5 * second}, {name: "two", life: 3 * second}},
			diary:   "0 one starts, 0 two starts, 3 two has ended, 5 one has ended, 5 over",
		},
		"finished before it is ready": {
			members: []actor{{name: "one", ready: 10 * second, life: second}, {name: "two", life: second}},
			diary:   "0 one starts, 1 one has ended, 1 two starts, 2 two has ended, 2 over",
		},
		"failed": {
			members: []actor{{name: "one"}, {name: "two", life: 5 * second, failure: errTwo}, {name: "three", end: second}},
			want:    "two failed", is: []error{errTwo},
			diary: "0 one starts, 0 two starts, 0 three starts, 5 two has ended, 5 three ends, within 27, 6 one ends, within 26, 6 over",
		},
		"failed while another starts": {
			members: []actor{{name: "one", life: 5 * second, failure: errOne}, {name: "two", ready: 10 * second}, {name: "three"}},
			want:    "one failed", is: []error{errOne},
			diary: "0 one starts, 0 two starts, 5 one has ended, 5 two ends, within 27, 5 over",
		},
		"not ready": {
			members: []actor{{name: "one"}, {name: "two", ready: second, unready: errTwo}, {name: "three"}},
			want:    "two is not ready: two failed", is: []error{errTwo},
			diary: "0 one starts, 0 two starts, 1 two ends, within 27, 1 one ends, within 27, 1 over",
		},
		"asked while it starts": {
			members: []actor{{name: "one"}, {name: "two", ready: 10 * second}, {name: "three"}},
			asked:   5 * second,
			diary:   "0 one starts, 0 two starts, 5 two ends, within 27, 5 one ends, within 27, 5 over",
		},
		"failed at the end": {
			members: []actor{{name: "one", failure: errOne}, {name: "two", life: second, failure: errTwo}},
			want:    "two failed\none failed", is: []error{errOne, errTwo},
			diary: "0 one starts, 0 two starts, 1 two has ended, 1 one ends, within 27, 1 over",
		},
		"one does not end": {
			members: []actor{{name: "one", end: 2 * second}, {name: "two", deaf: deaf}, {name: "three", end: second}},
			asked:   10 * second,
			want:    "not ended within 30s: two",
			diary: "0 one starts, 0 two starts, 0 three starts, 10 three ends, within 27, 11 two ends, within 26, " +
				"37 one ends, within 3, 40 over",
		},
		"several do not end": {
			members: []actor{{name: "one", deaf: deaf}, {name: "two", deaf: deaf}},
			asked:   second,
			want:    "not ended within 30s: two, one",
			diary:   "0 one starts, 0 two starts, 1 two ends, within 27, 28 one ends, within 3, 31 over",
		},
		"nobody": {diary: "0 over"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &diary{begun: time.Now()}
				woken := make(chan struct{})
				defer close(woken)
				var members []Member
				for _, a := range tc.members {
					a.diary = d
					if a.deaf != nil {
						a.deaf = woken
					}
					members = append(members, &a)
				}
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				if tc.asked > 0 {
					ctx, cancel = context.WithTimeout(ctx, tc.asked)
					defer cancel()
				}
				err := Run(ctx, members...)
				d.note("over")
				if text := fmt.Sprint(err); text != tc.want && (err != nil || tc.want != "") {
					t.Errorf("got %q, want %q", text, tc.want)
				}
				for _, want := range tc.is {
					if !errors.Is(err, want) {
						t.Errorf("%v is not %v", err, want)
					}
				}
				if got := strings.Join(d.lines, ", "); got != tc.diary {
					t.Errorf("got\n%s, want\n%s", got, tc.diary)
				}
			})
		})
	}
}

// TestRunLimit: the limit is that of the group.
func TestRunLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &diary{begun: time.Now()}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		group := Group{Limit: 10 * time.Second}
		if err := group.Run(ctx, &actor{name: "one", diary: d, end: 2 * time.Second}); err != nil {
			t.Error(err)
		}
		if want := []string{"0 one starts", "1 one ends, within 9"}; !slices.Equal(d.lines, want) {
			t.Errorf("got %q, want %q", d.lines, want)
		}
	})
}

// TestFunc: a function is a member, also one that ends its goroutine, and errors call it by its name.
func TestFunc(t *testing.T) {
	exits := Func(func(context.Context) error {
		runtime.Goexit()
		return nil
	})
	if err := Run(t.Context(), exits); !errors.Is(err, errGoexit) {
		t.Errorf("a member that ends its goroutine: %v", err)
	}
	if err := Run(t.Context(), Func(func(context.Context) error { return io.EOF })); err != io.EOF {
		t.Errorf("the error is %v", err)
	}
	if name := nameOf(exits); !strings.Contains(name, "TestFunc") {
		t.Errorf("it is called %s", name)
	}
	if name := nameOf(struct{ Member }{}); !strings.Contains(name, "struct") {
		t.Errorf("it is called %s", name)
	}
}

// TestEnding: a context that is no member's has time as well.
func TestEnding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		ending, stop := Ending(ctx)
		defer stop()
		begun := time.Now()
		<-ending.Done()
		if took := time.Since(begun); took != 30*time.Second {
			t.Errorf("it has %v", took)
		}
	})
}
