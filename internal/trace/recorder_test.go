package trace

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// sink is an exporter that remembers.
type sink struct {
	mu      sync.Mutex
	batches [][]*Span
	err     error
}

func (k *sink) export(_ context.Context, spans []*Span) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.batches = append(k.batches, spans)
	return k.err
}

func (k *sink) sizes() (sizes []int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, b := range k.batches {
		sizes = append(sizes, len(b))
	}
	return sizes
}

func (k *sink) spans() (all []*Span) {
	for _, b := range k.batches {
		all = append(all, b...)
	}
	return all
}

// serve runs r in a bubble; the result ends it and returns when it has ended.
func serve(t *testing.T, r *Recorder) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Serve(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}
}

func TestTree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k sink
		r := NewRecorder(Options{Export: k.export})
		stop := serve(t, r)

		ctx, root := r.Start(t.Context(), "GET /", Server)
		time.Sleep(time.Second)
		inner, child := Start(ctx, "cart.Cart.Add", Client)
		child.Set(slog.String("component", "cart.Cart"), slog.Int("items", 3))
		time.Sleep(2 * time.Second)
		child.Finish(errors.New("no such item"))
		child.Finish(nil)
		child.Set(slog.Bool("late", true))
		root.Finish(nil)
		stop()

		if got, want := FromContext(inner), (SpanContext{root.TraceID, child.SpanID, Sampled}); got != want {
			t.Errorf("the current span is %v, want %v", got, want)
		}
		spans := k.spans()
		if len(spans) != 2 || spans[0] != child || spans[1] != root {
			t.Fatalf("exported %v", spans)
		}
		if root.Parent != (SpanID{}) || child.Parent != root.SpanID || child.TraceID != root.TraceID {
			t.Errorf("the child %+v is not below the root %+v", child, root)
		}
		if root.Kind != Server || child.Kind != Client || child.Name != "cart.Cart.Add" {
			t.Errorf("root %+v, child %+v", root, child)
		}
		if d := child.End.Sub(child.Start); d != 2*time.Second {
			t.Errorf("the child took %v", d)
		}
		if d := root.End.Sub(root.Start); d != 3*time.Second {
			t.Errorf("the root took %v", d)
		}
		if child.Status != Failed || child.Error != "no such item" || len(child.Attrs) != 2 {
			t.Errorf("child %+v", child)
		}
		if root.Status != Unset || root.Error != "" {
			t.Errorf("root %+v", root)
		}
	})
}

func TestSampling(t *testing.T) {
	for _, tc := range []struct {
		name  string
		every time.Duration
		want  int // of 100 roots, one each 100 ms
	}{
		{"default", 0, 10},
		{"five a second", 200 * time.Millisecond, 50},
		{"always", Always, 100},
		{"never", Never, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := NewRecorder(Options{Export: new(sink).export, Every: tc.every})
				ids := map[TraceID]bool{}
				sampled := 0
				for range 100 {
					ctx, root := r.Start(t.Context(), "root", Internal)
					current := FromContext(ctx)
					ids[current.TraceID] = true
					if current.Sampled() != (root != nil) || !current.Valid() {
						t.Fatalf("span %v in context %v", root, current)
					}
					below, child := Start(ctx, "child", Internal)
					if (child != nil) != (root != nil) {
						t.Fatalf("root %v, child %v", root, child)
					}
					if root != nil {
						sampled++
					} else if below != ctx {
						t.Error("a trace that is not sampled pays for a context")
					}
					time.Sleep(100 * time.Millisecond)
				}
				if sampled != tc.want || len(ids) != 100 {
					t.Errorf("sampled %d of %d traces, want %d", sampled, len(ids), tc.want)
				}
			})
		})
	}
}

func TestSamplingGivesASlotOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRecorder(Options{Export: new(sink).export})
		var sampled sync.Map
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if _, s := r.Start(t.Context(), "root", Internal); s != nil {
					sampled.Store(s, true)
				}
			})
		}
		wg.Wait()
		n := 0
		sampled.Range(func(any, any) bool { n++; return true })
		if n != 1 {
			t.Errorf("sampled %d of 50 at the same time, want 1", n)
		}
	})
}

func TestRemoteParentDecides(t *testing.T) {
	remote, err := ParseTraceparent(example)
	if err != nil {
		t.Fatal(err)
	}
	r := NewRecorder(Options{Export: new(sink).export, Every: Never})
	_, span := Start(r.NewContext(t.Context(), remote), "call", Server)
	if span == nil || span.TraceID != remote.TraceID || span.Parent != remote.SpanID {
		t.Errorf("span %+v below %v", span, remote)
	}

	remote.Flags = 0
	r = NewRecorder(Options{Export: new(sink).export, Every: Always})
	ctx := r.NewContext(t.Context(), remote)
	if ctx, span := Start(ctx, "call", Server); span != nil || FromContext(ctx) != remote {
		t.Errorf("span %v, current %v", span, FromContext(ctx))
	}
	if _, span := Start(r.NewContext(ctx, SpanContext{}), "call", Server); span == nil ||
		span.TraceID == remote.TraceID || span.Parent != (SpanID{}) {
		t.Errorf("a zero parent begins %+v", span)
	}
	broken := SpanContext{SpanID: remote.SpanID, Flags: Sampled}
	r = NewRecorder(Options{Export: new(sink).export, Every: Never})
	if _, span := Start(r.NewContext(ctx, broken), "call", Server); span != nil {
		t.Errorf("a parent without a trace begins %+v", span)
	}
}

func TestNothingToRecord(t *testing.T) {
	var none *Recorder
	idle := NewRecorder(Options{Every: Always})
	remote, _ := ParseTraceparent(example)
	for name, ctx := range map[string]context.Context{
		"no recorder":  t.Context(),
		"nil recorder": none.NewContext(t.Context(), remote),
		"no exporter":  idle.NewContext(t.Context(), SpanContext{}),
	} {
		after, span := Start(ctx, "x", Internal)
		if span != nil || after != ctx {
			t.Errorf("%s: Start = %v, %v", name, after, span)
		}
		span.Set(slog.Int("n", 1))
		span.Finish(errors.New("x"))
	}
	if got := FromContext(idle.NewContext(t.Context(), remote)); got != remote {
		t.Errorf("without an exporter %v becomes %v", remote, got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := errors.Join(none.Serve(ctx), idle.Serve(ctx)); err != nil || none.Dropped() != 0 {
		t.Errorf("Serve: %v", err)
	}
}

func TestBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k sink
		r := NewRecorder(Options{Export: k.export, Every: Always, Batch: 4})
		finish := func(n int) {
			for range n {
				_, s := r.Start(t.Context(), "x", Internal)
				s.Finish(nil)
			}
			synctest.Wait()
		}
		want := func(sizes ...int) {
			t.Helper()
			got := k.sizes()
			if len(got) != len(sizes) {
				t.Fatalf("batches of %v, want %v", got, sizes)
			}
			for i := range got {
				if got[i] != sizes[i] {
					t.Fatalf("batches of %v, want %v", got, sizes)
				}
			}
		}
		stop := serve(t, r)
		finish(3)
		want()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		want(3)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		want(3)
		finish(9)
		want(3, 4, 4)
		finish(2)
		stop()
		want(3, 4, 4, 3)
		finish(6)
		stop = serve(t, r)
		stop()
		want(3, 4, 4, 3, 4, 2)
	})
}

func TestFullQueueDropsAndNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var k sink
		r := NewRecorder(Options{
			Every: Always, Queue: 5, Batch: 1,
			Export: func(ctx context.Context, spans []*Span) error {
				<-release
				return k.export(ctx, spans)
			},
		})
		stop := serve(t, r)
		finish := func(n int) {
			for range n {
				_, s := r.Start(t.Context(), "x", Internal)
				s.Finish(nil)
			}
		}
		finish(1) // taken by the exporter, which hangs
		synctest.Wait()
		finish(8)
		if got := r.Dropped(); got != 3 {
			t.Errorf("dropped %d, want 3", got)
		}
		close(release)
		stop()
		if got := len(k.spans()); got != 6 || r.Dropped() != 3 {
			t.Errorf("exported %d and dropped %d, want 6 and 3", got, r.Dropped())
		}
	})
}

func TestFailedExportsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := sink{err: errors.New("collector away")}
		r := NewRecorder(Options{Export: k.export, Every: Always})
		stop := serve(t, r)
		for range 7 {
			_, s := r.Start(t.Context(), "x", Internal)
			s.Finish(nil)
		}
		stop()
		if r.Dropped() != 7 {
			t.Errorf("dropped %d, want 7", r.Dropped())
		}
	})
}

func TestLastExportIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRecorder(Options{Every: Always, Export: func(ctx context.Context, _ []*Span) error {
			<-ctx.Done()
			return ctx.Err()
		}})
		_, s := r.Start(t.Context(), "x", Internal)
		s.Finish(nil)
		start := time.Now()
		serve(t, r)()
		if d := time.Since(start); d != exportGrace || r.Dropped() != 1 {
			t.Errorf("Serve ended after %v with %d dropped", d, r.Dropped())
		}
	})
}

func TestConcurrent(t *testing.T) {
	var k sink
	r := NewRecorder(Options{Export: k.export, Every: Always, Queue: 100, Batch: 7})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Serve(ctx) }()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				ctx, root := r.Start(t.Context(), "root", Internal)
				_, child := Start(ctx, "child", Internal)
				child.Finish(nil)
				root.Finish(nil)
			}
		})
	}
	wg.Wait()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	seen := map[SpanID]bool{}
	for _, s := range k.spans() {
		seen[s.SpanID] = true
	}
	if uint64(len(seen))+r.Dropped() != 8000 {
		t.Errorf("exported %d and dropped %d of 8000", len(seen), r.Dropped())
	}
}

// TestBridge plays another library, which keeps its current span under its own key.
func TestBridge(t *testing.T) {
	type theirs struct{}
	into := func(ctx context.Context, sc SpanContext) context.Context {
		return context.WithValue(ctx, theirs{}, sc)
	}
	from := func(ctx context.Context) (SpanContext, bool) {
		sc, ok := ctx.Value(theirs{}).(SpanContext)
		return sc, ok
	}
	r := NewRecorder(Options{Export: new(sink).export, From: from, Into: into})
	ctx, root := r.Start(t.Context(), "ours", Server)
	if sc, _ := from(ctx); sc != FromContext(ctx) {
		t.Errorf("their current span is %v, ours is %v", sc, FromContext(ctx))
	}
	between := SpanContext{TraceID: root.TraceID, SpanID: SpanID{1}, Flags: Sampled}
	_, leaf := Start(into(ctx, between), "ours again", Client)
	if leaf == nil || leaf.Parent != between.SpanID || leaf.TraceID != root.TraceID {
		t.Errorf("the leaf %+v is not below their span %v", leaf, between)
	}
}

func TestIDsAreNeverZero(t *testing.T) {
	values := []uint64{0, 0, 0, 7, 0, 9}
	r := NewRecorder(Options{Export: new(sink).export, Rand: func() (v uint64) {
		v, values = values[0], values[1:]
		return v
	}})
	ctx, _ := r.Start(t.Context(), "x", Internal)
	want := SpanContext{TraceID: TraceID{15: 7}, SpanID: SpanID{7: 9}, Flags: Sampled}
	if got := FromContext(ctx); got != want {
		t.Errorf("current span %v, want %v", got, want)
	}
}

func TestKindString(t *testing.T) {
	for k, want := range []string{"unspecified", "internal", "server", "client", "producer",
		"consumer", "unspecified"} {
		if got := Kind(k).String(); got != want {
			t.Errorf("Kind(%d) = %s, want %s", k, got, want)
		}
	}
}
