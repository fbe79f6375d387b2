package discover_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/discover"
	"github.com/divisi-go/divisi/discover/discovertest"
	"github.com/divisi-go/divisi/serve"
)

// A Value is a member of package serve.
var _ serve.Member = (*discover.Value[int])(nil)

// service is that of configstate.
type service struct {
	URI          string       `json:"uri"`
	Capabilities []capability `json:"capabilities"`
}

type capability struct {
	Name     string `json:"name"`
	Capacity int    `json:"capacity"`
}

const pool = `[{"uri":"http://pool04.boxworld.org/api/v2","capabilities":[{"name":"resize","capacity":23}]}]`

// bubble runs a test in virtual time.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

// follow serves a value until the test ends, or end is called, which returns when Serve has.
func follow[T any](t *testing.T, v *discover.Value[T]) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := v.Serve(ctx); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	end = func() { cancel(); wg.Wait() }
	t.Cleanup(end)
	return end
}

// events collects the events of a Value.
type events struct {
	mu   sync.Mutex
	list []discover.Event
}

func (e *events) add(one discover.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, one)
}

// of returns the events of a kind.
func (e *events) of(kind discover.Kind) []discover.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(e.list), func(one discover.Event) bool { return one.Kind != kind })
}

// The log has the lines of configstate, in their order, from its first line to its last.
func TestStory(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source, log := new(discovertest.Source), new(bytes.Buffer)
		source.Put(pool)
		services := &discover.Value[[]service]{
			Name: "services", Source: source, OnEvent: discover.Log(slog.New(slog.NewJSONHandler(log, nil))),
		}
		end := follow(t, services)
		synctest.Wait()
		end()

		var lines []string
		for d := json.NewDecoder(log); d.More(); {
			var line struct {
				Msg    string
				Worker string `json:"worker_id"`
			}
			if err := d.Decode(&line); err != nil {
				t.Fatal(err)
			}
			if line.Worker != "services" {
				t.Errorf("%q is of the worker %q", line.Msg, line.Worker)
			}
			lines = append(lines, line.Msg)
		}
		want := []string{
			"worker starting", "sending request", "received response", "updating services",
			"sending request", "worker shutting down", "worker stopped",
		}
		if !slices.Equal(lines, want) {
			t.Errorf("the lines are %q, and should be %q", lines, want)
		}
		if got := services.Load().Value[0].Capabilities[0]; got != (capability{"resize", 23}) {
			t.Errorf("the value is %v", got)
		}
	})
}

// What is wrong is refused: the last good value stays, and everybody can see why.
func TestRefused(t *testing.T) {
	wrong := map[string]struct{ text, why string }{
		"no JSON":                {`[{"uri":`, "has no end"},
		"empty":                  {" \n", "empty"},
		"an unknown field":       {"[{\n  \"url\": \"http://x\"}]", `line 2, column 3: nothing is called "url"`},
		"a field twice":          {`[{"uri":"a","uri":"b"}]`, `"uri" is there twice`},
		"a wrong type":           {`[{"uri":7}]`, "number is no string"},
		"two documents":          {pool + pool, "something follows"},
		"what the program wants": {`[]`, "no service"},
	}
	for name, c := range wrong {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				source := new(discovertest.Source)
				source.Put(pool)
				services := &discover.Value[[]service]{Name: "services", Source: source, Validate: func(_, after []service) error {
					if len(after) == 0 {
						return errors.New("no service is left")
					}
					return nil
				}}
				follow(t, services)
				synctest.Wait()
				good := services.Load()

				source.Put(c.text)
				synctest.Wait()
				refusal := services.Status().Refusal
				if refusal == nil || !strings.Contains(refusal.Error(), c.why) {
					t.Errorf("the refusal is %v, and should say %q", refusal, c.why)
				}
				if services.Load() != good {
					t.Error("the last good value has not stayed")
				}
				health := services.Health()
				if health == nil || !errors.Is(health, refusal) {
					t.Errorf("the health is %v", health)
				}

				source.Fail(errors.New("away"))
				time.Sleep(time.Second)
				if services.Status().Refusal == nil {
					t.Error("a failed request hides the refusal")
				}
				source.Fail(nil)
				source.Put(strings.ReplaceAll(pool, "23", "24"))
				time.Sleep(time.Minute)
				if err := services.Health(); err != nil {
					t.Errorf("after good data: %v", err)
				}
				if got := services.Load().Value[0].Capabilities[0].Capacity; got != 24 {
					t.Errorf("after good data the capacity is %d", got)
				}
			})
		})
	}
}

// Nothing yet, nothing there and an empty list are three things.
func TestAbsent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := new(discovertest.Source)
		services := &discover.Value[[]service]{Name: "services", Source: source}
		if services.Load() != nil || services.Health() == nil {
			t.Error("there is a value before there was any")
		}
		end := follow(t, services)
		synctest.Wait()
		if services.Load() != nil || !errors.Is(services.Status().Refusal, discover.ErrAbsent) {
			t.Errorf("without a key there is %v, and the refusal is %v", services.Load(), services.Status().Refusal)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := services.Ready(ctx)
		if !errors.Is(err, discover.ErrAbsent) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Ready: %v", err)
		}

		source.Put("[]")
		if err := services.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := services.Load().Value; len(got) != 0 || services.Health() != nil {
			t.Errorf("an empty list is %v, and its health %v", got, services.Health())
		}

		source.Put(pool)
		source.Set()
		synctest.Wait()
		if services.Load() == nil || services.Health() == nil {
			t.Error("a key that was deleted takes the value with it, or nobody says so")
		}
		end()
	})
}

// A default stands in for a key that is not there.
func TestDefault(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := new(discovertest.Source)
		size := &discover.Value[int]{Source: source, Default: new(int)}
		*size.Default = 7
		follow(t, size)
		synctest.Wait()

		for _, c := range []struct {
			set    string
			want   int
			origin discover.Origin
		}{{"", 7, discover.IsDefault}, {"8", 8, discover.Live}, {"", 7, discover.IsDefault}} {
			if c.set != "" {
				source.Put(c.set)
			} else {
				source.Set()
			}
			time.Sleep(2 * time.Second) // for the limit
			got := size.Load()
			if got.Value != c.want || got.Origin != c.origin || size.Health() != nil {
				t.Errorf("%q: there is %d from %s (%v)", c.set, got.Value, got.Origin, size.Health())
			}
		}
	})
}

// A program that starts while its source is away has what the cache kept, or the default, and says so.
func TestCache(t *testing.T) {
	for name, c := range map[string]struct {
		spoil  func(t *testing.T, file string)
		origin discover.Origin
		lost   string
	}{
		"whole":   {func(*testing.T, string) {}, discover.FromCache, ""},
		"missing": {func(t *testing.T, file string) { check(t, os.Remove(file)) }, discover.IsDefault, "no such file"},
		"changed": {func(t *testing.T, file string) { replace(t, file, `"version":"1"`, `"version":"2"`) }, discover.IsDefault, "damaged"},
		"cut":     {func(t *testing.T, file string) { check(t, os.Truncate(file, 20)) }, discover.IsDefault, "damaged"},
		"newer":   {func(t *testing.T, file string) { replace(t, file, `"format":1`, `"format":2`) }, discover.IsDefault, "format 2"},
		"foreign": {func(t *testing.T, file string) { replace(t, file, `"source":"test"`, `"source":"other"`) }, discover.IsDefault, "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "services.json")
				source, seen := new(discovertest.Source), new(events)
				source.Put("4")
				end := follow(t, &discover.Value[int]{Source: source, Cache: file})
				synctest.Wait()
				end()
				c.spoil(t, file)

				source.Fail(errors.New("away"))
				size := &discover.Value[int]{Source: source, Cache: file, Default: new(int), OnEvent: seen.add, MaxAge: time.Hour}
				follow(t, size)
				synctest.Wait()
				if got := size.Load().Origin; got != c.origin {
					t.Errorf("the value is from %s, and should be from %s", got, c.origin)
				}
				lost := seen.of(discover.CacheLost)
				switch {
				case c.lost == "" && len(lost) > 0:
					t.Errorf("the cache is lost: %v", lost[0].Err)
				case c.lost != "" && (len(lost) != 1 || !strings.Contains(lost[0].Err.Error(), c.lost)):
					t.Errorf("the cache is lost: %v, and should be: %s", lost, c.lost)
				}
				if c.origin == discover.FromCache && size.Health() != nil {
					t.Errorf("a cache of today: %v", size.Health())
				}
				time.Sleep(2 * time.Hour)
				want := map[discover.Origin]string{discover.FromCache: "last answered 2h0m0s ago", discover.IsDefault: "has not answered yet"}[c.origin]
				if err := size.Health(); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("after two hours without an answer: %v; it should say %q", err, want)
				}

				source.Fail(nil)
				time.Sleep(time.Minute)
				if got := size.Load(); got.Origin != discover.Live || got.Value != 4 || size.Health() != nil {
					t.Errorf("when the source is back there is %d from %s (%v)", got.Value, got.Origin, size.Health())
				}
			})
		})
	}
}

// A cache is of one source.
func TestCacheOfAnother(t *testing.T) {
	bubble(t, func(t *testing.T) {
		file, seen := filepath.Join(t.TempDir(), "cache"), new(events)
		end := follow(t, &discover.Value[int]{Source: discover.Fixed("4"), Cache: file})
		synctest.Wait()
		end()

		source := new(discovertest.Source)
		source.Fail(errors.New("away"))
		size := &discover.Value[int]{Source: source, Cache: file, OnEvent: seen.add}
		follow(t, size)
		synctest.Wait()
		lost := seen.of(discover.CacheLost)
		if size.Load() != nil || len(lost) != 1 || !strings.Contains(lost[0].Err.Error(), "another source: fixed") {
			t.Errorf("there is %v, and the cache is lost: %v", size.Load(), lost)
		}
	})
}

// A disk that does not take the cache costs nothing but the cache.
func TestCacheUnwritable(t *testing.T) {
	bubble(t, func(t *testing.T) {
		seen := new(events)
		size := &discover.Value[int]{Source: discover.Fixed("4"), Cache: filepath.Join(t.TempDir(), "no", "folder"), OnEvent: seen.add}
		follow(t, size)
		synctest.Wait()
		if size.Load().Value != 4 || len(seen.of(discover.CacheLost)) != 1 {
			t.Errorf("there is %v, and the events are %v", size.Load(), seen.list)
		}
	})
}

// Serve ends at once, whatever it waits for: an answer, the end of a back-off, the limit.
func TestEnd(t *testing.T) {
	busy := discover.Poller(func(context.Context) ([]byte, error) { return []byte("1"), nil })
	broken := new(discovertest.Source)
	broken.Fail(&discover.SourceError{Err: errors.New("forbidden"), Permanent: true})
	idle := new(discovertest.Source)

	for name, source := range map[string]discover.Source{"an answer": idle, "a back-off": broken, "the limit": busy} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				end := follow(t, &discover.Value[int]{Source: source})
				time.Sleep(2500 * time.Millisecond)
				before := time.Now()
				end()
				if took := time.Since(before); took > 0 {
					t.Errorf("the end took %v", took)
				}
			})
		})
	}
}

// A parent with a deadline ends Serve as one that is cancelled does.
func TestDeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		source := new(discovertest.Source)
		if err := (&discover.Value[int]{Source: source}).Serve(ctx); err != nil {
			t.Fatal(err)
		}
		if source.Requests() > 2 {
			t.Errorf("there were %d requests", source.Requests())
		}
	})
}

// Serve runs once at a time, and may run again.
func TestServeTwice(t *testing.T) {
	bubble(t, func(t *testing.T) {
		v := &discover.Value[int]{Source: discover.Fixed("1")}
		end := follow(t, v)
		synctest.Wait()
		if err := v.Serve(t.Context()); !errors.Is(err, discover.ErrServed) {
			t.Errorf("the second call returns %v", err)
		}
		end()
		follow(t, v)
		synctest.Wait()
	})
}

// A source that answers at once for ever is asked three times, and then once a second.
func TestBusySource(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var requests atomic.Int32
		v := &discover.Value[int]{Source: discover.Poller(func(context.Context) ([]byte, error) {
			requests.Add(1)
			return []byte("1"), nil
		})}
		end := follow(t, v)
		time.Sleep(999 * time.Millisecond)
		if got := requests.Load(); got != 3 {
			t.Errorf("there were %d requests in the first second", got)
		}
		time.Sleep(10 * time.Second)
		end()
		if got := requests.Load(); got != 13 {
			t.Errorf("there were %d requests in 11 seconds", got)
		}
		if got := v.Status().Limited; got < 9*time.Second || got > 11*time.Second {
			t.Errorf("the limit has made requests wait for %v", got)
		}
	})
}

// Data that changes a hundred times a second is followed once a second, to the last change.
func TestFlapping(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source, newest := new(discovertest.Source), 0
		v := &discover.Value[int]{Source: source}
		follow(t, v)
		ctx, cancel := context.WithCancel(t.Context())
		var slow sync.WaitGroup
		slow.Go(func() {
			last := 0
			for s := range v.Watch(ctx) {
				if s.Value < last {
					t.Errorf("%d is older than %d", s.Value, last)
				}
				last = s.Value
				time.Sleep(3 * time.Second)
			}
		})

		for range 1000 {
			newest++
			source.Put(fmt.Sprint(newest))
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Second)
		if got := v.Load().Value; got != newest {
			t.Errorf("a second after the last change there is %d, and should be %d", got, newest)
		}
		if got := source.Requests(); got > 20 {
			t.Errorf("there were %d requests", got)
		}
		cancel()
		slow.Wait()
	})
}

// Who waits for a source that was away does not return together with all others.
func TestHerd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const clients = 400
		source := new(discovertest.Source)
		source.Put("1")
		values := make([]*discover.Value[int], clients)
		for i := range values {
			values[i] = &discover.Value[int]{Source: source}
			follow(t, values[i])
		}
		synctest.Wait()

		source.Fail(errors.New("away"))
		time.Sleep(20 * time.Second)
		source.Put("2")
		source.Fail(nil)
		for second := range 35 {
			before := source.Requests()
			time.Sleep(time.Second)
			synctest.Wait()
			// Each one that is back asks twice: the second request waits.
			if got := source.Requests() - before; got > 2*clients*15/100 {
				t.Errorf("in second %d there were %d requests", second, got)
			}
		}
		for _, v := range values {
			if v.Load().Value != 2 {
				t.Fatal("somebody has not come back in 35 s")
			}
		}
	})
}

// A source says when it wants to be asked again.
func TestRetryAfter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := new(discovertest.Source)
		source.Fail(&discover.SourceError{Err: errors.New("too many"), RetryAfter: 50 * time.Second})
		follow(t, &discover.Value[int]{Source: source})
		time.Sleep(49 * time.Second)
		if got := source.Requests(); got != 1 {
			t.Errorf("there were %d requests in 49 s", got)
		}
		time.Sleep(2 * time.Second)
		if got := source.Requests(); got < 2 {
			t.Errorf("there were %d requests in 51 s", got)
		}
	})
}

// Of a folder, only the entry that is wrong is refused.
func TestFolder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := new(discovertest.Source)
		of := func(values ...string) {
			var entries []discover.Entry
			for i, v := range values {
				entries = append(entries, discover.Entry{Key: fmt.Sprint("svc/", i), Value: []byte(v)})
			}
			source.Set(entries...)
			time.Sleep(2 * time.Second) // for the limit
		}
		v := &discover.Value[map[string]int]{Source: source, Decode: discover.EachJSON[int]}
		follow(t, v)
		of("1", "2")
		of("x", "3", "y")
		want := map[string]int{"svc/0": 1, "svc/1": 3}
		if got := v.Load().Value; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("the folder is %v, and should be %v", got, want)
		}
		refusal := v.Status().Refusal
		if refusal == nil || !strings.Contains(refusal.Error(), "svc/0: ") || !strings.Contains(refusal.Error(), "svc/2: ") {
			t.Errorf("the refusal is %v", refusal)
		}

		of()
		if got := v.Load().Value; len(got) != 0 || v.Health() != nil {
			t.Errorf("an empty folder is %v (%v)", got, v.Health())
		}
	})
}

// Data that is the same, by bytes or as a value, wakes nobody, and shows that the source is there.
func TestUnchanged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source, seen := new(discovertest.Source), new(events)
		v := &discover.Value[int]{Source: source, OnEvent: seen.add}
		source.Put("1")
		follow(t, v)
		synctest.Wait()
		first, contact := v.Load(), v.Status().Contact

		time.Sleep(5 * time.Second)
		source.Put("1")
		synctest.Wait()
		source.Put(" 1")
		synctest.Wait()
		if v.Load() != first || len(seen.of(discover.Adopting)) != 1 {
			t.Errorf("there were %d adoptions", len(seen.of(discover.Adopting)))
		}
		if got := v.Status().Contact.Sub(contact); got != 5*time.Second {
			t.Errorf("the contact is %v younger", got)
		}
		if got := v.Status().Adopted; got == first.Version {
			t.Error("the version is the first one still")
		}
	})
}

// The first source that answers is followed, and the first one of all again once it does.
func TestFirstOf(t *testing.T) {
	bubble(t, func(t *testing.T) {
		first, second := new(discovertest.Source), new(discovertest.Source)
		first.Put("1")
		second.Put("2")
		first.Fail(errors.New("away"))
		v := &discover.Value[int]{Source: discover.FirstOf{first, second}}
		follow(t, v)
		synctest.Wait()
		if got := v.Load().Value; got != 2 {
			t.Errorf("there is %d while the first source is away", got)
		}

		first.Fail(nil)
		time.Sleep(2 * time.Minute)
		if got := v.Load().Value; got != 1 {
			t.Errorf("there is %d when the first source is back", got)
		}
		first.Put("3")
		synctest.Wait()
		if got := v.Load().Value; got != 3 {
			t.Errorf("there is %d after a change", got)
		}

		first.Fail(errors.New("first away"))
		second.Fail(errors.New("second away"))
		time.Sleep(time.Minute)
		err := v.Status().Failure
		if err == nil || !strings.Contains(err.Error(), "first away") || !strings.Contains(err.Error(), "second away") {
			t.Errorf("while both are away: %v", err)
		}
	})
}

// A value shows itself, and how it is.
func TestHandler(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := new(discovertest.Source)
		v := &discover.Value[[]service]{Name: "services", Source: source}
		ask := func(method string) (int, map[string]any) {
			w := httptest.NewRecorder()
			v.ServeHTTP(w, httptest.NewRequest(method, "/services", nil))
			page := map[string]any{}
			_ = json.Unmarshal(w.Body.Bytes(), &page)
			return w.Code, page
		}
		if status, page := ask("GET"); status != http.StatusServiceUnavailable || page["problem"] == nil {
			t.Errorf("without a value: %d %v", status, page)
		}
		source.Put(pool)
		follow(t, v)
		synctest.Wait()
		status, page := ask("GET")
		value, _ := json.Marshal(page["value"])
		if status != http.StatusOK || !strings.Contains(string(value), "pool04") || page["origin"] != "live" || page["problem"] != nil {
			t.Errorf("with a value: %d %v", status, page)
		}
		if status, _ := ask("POST"); status != http.StatusMethodNotAllowed {
			t.Errorf("POST: %d", status)
		}
	})
}

func BenchmarkLoad(b *testing.B) {
	v := &discover.Value[int]{Source: discover.Fixed("4")}
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = v.Serve(ctx) })
	if err := v.Ready(ctx); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if v.Load().Value != 4 {
				b.Error("there is another value")
			}
		}
	})
	cancel()
	wg.Wait()
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func replace(t *testing.T, file, before, after string) {
	t.Helper()
	text, err := os.ReadFile(file)
	check(t, err)
	if !strings.Contains(string(text), before) {
		t.Fatalf("%s does not have %s", text, before)
	}
	check(t, os.WriteFile(file, []byte(strings.Replace(string(text), before, after, 1)), 0o600))
}
