package codegen

import (
	"context"
	"errors"
	"io"
	"iter"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// The fixture is a component with a call and a stream, whose stub and server are written as the
// generator would. Its target runs the server on the same goroutine, so that a call goes through
// all of its encoding.

const fixtureName = "example.com/test/Echoer"

type echoer interface {
	Count(ctx context.Context, n int) iter.Seq2[[]int, error]
	Echo(ctx context.Context, words []string) ([]string, error)
}

type echo struct {
	err    error // what Echo returns
	panics any
	got    []string
}

func (e *echo) Echo(_ context.Context, words []string) ([]string, error) {
	if e.panics != nil {
		panic(e.panics)
	}
	e.got = words
	return words, e.err
}

func (e *echo) Count(_ context.Context, n int) iter.Seq2[[]int, error] {
	return func(yield func([]int, error) bool) {
		for i := range n {
			if e.panics != nil {
				panic(e.panics)
			}
			if !yield([]int{i}, nil) {
				return
			}
		}
		if e.err != nil {
			yield(nil, e.err)
		}
	}
}

type echoerStub struct{ c *Client }

func (s echoerStub) Echo(ctx context.Context, a0 []string) (r0 []string, err error) {
	impl, err := s.c.Local(ctx)
	if err != nil {
		return r0, err
	}
	if impl, ok := impl.(echoer); ok {
		defer s.c.Enter(0).Leave(&err)
		r0, err = impl.Echo(ctx, CopySlice(a0, nil))
		return CopySlice(r0, nil), err
	}
	call := s.c.Call(ctx, 0)
	EncSlice(&call.Args, a0, (*Encoder).String)
	call.Route(strings.Join(a0, " "))
	if call.Do() {
		r0 = DecSlice(&call.Results, 4, (*Decoder).String)
	}
	return r0, call.End()
}

func serveEchoerEcho(ctx context.Context, impl echoer, s *Served) {
	a0 := DecSlice(&s.Args, 4, (*Decoder).String)
	if s.Ready() {
		r0, err := impl.Echo(ctx, a0)
		EncSlice(&s.Results, r0, (*Encoder).String)
		s.End(err)
	}
}

func (s echoerStub) Count(ctx context.Context, a0 int) iter.Seq2[[]int, error] {
	return Stream(ctx, s.c, 1, StreamOf[[]int]{
		Args:  func(e *Encoder) { e.Int(a0) },
		Elem:  decInts,
		Copy:  func(v []int) []int { return CopySlice(v, nil) },
		Local: func(impl any) iter.Seq2[[]int, error] { return impl.(echoer).Count(ctx, a0) },
	})
}

func serveEchoerCount(ctx context.Context, impl echoer, s *Served) {
	a0 := s.Args.Int()
	if s.Ready() {
		ServeStream(s, impl.Count(ctx, a0), encInts)
	}
}

// fixtureTarget is both ends of a connection.
type fixtureTarget struct {
	component *Component
	errors    *Errors
	impl      *echo
	local     bool
	lost      error // instead of saying where it is
	fails     error // of the way
	mangle    func([]byte) []byte
	requests  []Request
	panics    []any
	closed    int
}

func (t *fixtureTarget) Local(context.Context) (any, error) {
	if t.local {
		return t.impl, nil
	}
	return nil, t.lost
}

func (t *fixtureTarget) Call(ctx context.Context, r *Request) (Status, []byte, error) {
	t.requests = append(t.requests, *r)
	if t.fails != nil {
		return 0, nil, t.fails
	}
	args := r.Args
	if t.mangle != nil {
		args = t.mangle(slices.Clone(args))
	}
	status, body := Serve(ctx, t.component, r.Method, t.impl, t.errors, args, Hooks{Panicked: t.thrown})
	return status, slices.Clone(body), nil
}

func (t *fixtureTarget) thrown(thrown any, _ []byte) { t.panics = append(t.panics, thrown) }

func (t *fixtureTarget) Panicked(_ *MethodInfo, thrown any, stack []byte) { t.thrown(thrown, stack) }

// Stream runs the whole stream and hands out what it has sent.
func (t *fixtureTarget) Stream(ctx context.Context, r *Request) (Receiver, error) {
	if t.fails != nil {
		return nil, t.fails
	}
	recv := &fixtureReceiver{target: t}
	send := func(b []byte) error {
		recv.elems = append(recv.elems, slices.Clone(b))
		return nil
	}
	status, body := Serve(ctx, t.component, r.Method, t.impl, t.errors, r.Args,
		Hooks{Send: send, Panicked: t.thrown})
	recv.end = io.EOF
	if status != StatusOK {
		recv.end = &StatusError{status, string(body)}
	}
	return recv, nil
}

type fixtureReceiver struct {
	target *fixtureTarget
	elems  [][]byte
	end    error
}

func (r *fixtureReceiver) Recv() ([]byte, error) {
	if len(r.elems) == 0 {
		return nil, r.end
	}
	elem := r.elems[0]
	r.elems = r.elems[1:]
	return elem, nil
}

func (r *fixtureReceiver) Close() error {
	r.target.closed++
	return nil
}

type fixture struct {
	client *Client
	stub   echoerStub
	target *fixtureTarget
}

var errKnown = errors.New("known")

func newFixture(t *testing.T) *fixture {
	t.Helper()
	c := &Component{
		Info:  Info{Name: fixtureName},
		Iface: reflect.TypeFor[echoer](),
		Impl:  reflect.TypeFor[echo](),
	}
	for _, m := range []Method[echoer]{
		{Name: "Echo", Serve: serveEchoerEcho},
		{Name: "Count", Stream: true, Serve: serveEchoerCount},
	} {
		c.Methods = append(c.Methods, MethodInfo{
			Name: m.Name, Key: MethodKey(fixtureName, m.Name, m.Layout), Stream: m.Stream,
			Serve: func(ctx context.Context, impl any, s *Served) { m.Serve(ctx, impl.(echoer), s) },
		})
	}
	table := newErrors(map[string]knownError{"test.known": {name: "test.known", value: errKnown}})
	target := &fixtureTarget{component: c, errors: table, impl: &echo{}}
	client := NewClient(c, table, target, Observer{})
	return &fixture{client: client, stub: echoerStub{client}, target: target}
}

// both runs a test with the component in the same process and with it elsewhere.
func both(t *testing.T, test func(*testing.T, *fixture)) {
	for _, local := range []bool{true, false} {
		name := map[bool]string{true: "local", false: "remote"}[local]
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.target.local = local
			test(t, f)
		})
	}
}

func TestCall(t *testing.T) {
	both(t, func(t *testing.T, f *fixture) {
		for _, words := range [][]string{nil, {}, {"a", "b"}} {
			got, err := f.stub.Echo(t.Context(), words)
			if err != nil || !reflect.DeepEqual(got, words) {
				t.Errorf("%#v came back as %#v, %v", words, got, err)
			}
		}
		words := []string{"mine"}
		got, err := f.stub.Echo(t.Context(), words)
		if err != nil {
			t.Fatal(err)
		}
		f.target.impl.got[0] = "theirs"
		if words[0] != "mine" || got[0] != "mine" {
			t.Errorf("caller and callee share memory: %v, %v", words, got)
		}
	})
}

func TestCallErrors(t *testing.T) {
	both(t, func(t *testing.T, f *fixture) {
		f.target.impl.err = errors.Join(errors.New("other"), errKnown)
		got, err := f.stub.Echo(t.Context(), []string{"a"})
		if !errors.Is(err, errKnown) || err.Error() != "other\nknown" {
			t.Errorf("error %v", err)
		}
		if len(got) != 1 || got[0] != "a" {
			t.Errorf("results beside an error: %v", got)
		}
	})
}

func TestCallPanics(t *testing.T) {
	both(t, func(t *testing.T, f *fixture) {
		f.target.impl.panics = "oops"
		_, err := f.stub.Echo(t.Context(), nil)
		want := ErrPanic.Error() + ": " + fixtureName + ".Echo: oops"
		if !errors.Is(err, ErrPanic) || err.Error() != want {
			t.Errorf("error %q, want %q", err, want)
		}
		if len(f.target.panics) != 1 {
			t.Errorf("%d panics were reported", len(f.target.panics))
		}
	})
}

func TestCallThatDoesNotArrive(t *testing.T) {
	f := newFixture(t)
	f.target.fails = ErrRemoteCall
	if _, err := f.stub.Echo(t.Context(), nil); err != ErrRemoteCall {
		t.Errorf("error %v", err)
	}
	f.target.fails = nil
	f.target.mangle = func(b []byte) []byte { return append(b, 1) }
	_, err := f.stub.Echo(t.Context(), nil)
	if !errors.Is(err, ErrRemoteCall) || !strings.Contains(err.Error(), errTrailing.Error()) {
		t.Errorf("error %v", err)
	}
}

func TestRoutingKey(t *testing.T) {
	f := newFixture(t)
	for _, words := range [][]string{{"a"}, {"a"}, {"b"}} {
		if _, err := f.stub.Echo(t.Context(), words); err != nil {
			t.Fatal(err)
		}
	}
	r := f.target.requests
	if !r[0].Routed || r[0].Shard != r[1].Shard || r[0].Shard == r[2].Shard {
		t.Errorf("shards %x, %x, %x", r[0].Shard, r[1].Shard, r[2].Shard)
	}
}

func collect(stream iter.Seq2[[]int, error]) (values []int, errs []error) {
	for v, err := range stream {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		values = append(values, v...)
	}
	return values, errs
}

func TestStream(t *testing.T) {
	both(t, func(t *testing.T, f *fixture) {
		stream := f.stub.Count(t.Context(), 3)
		if values, errs := collect(stream); !slices.Equal(values, []int{0, 1, 2}) || errs != nil {
			t.Errorf("stream of %v, %v", values, errs)
		}
		if _, errs := collect(stream); len(errs) != 1 || errs[0] != ErrStreamUsed {
			t.Errorf("a stream that was read gives %v", errs)
		}
		f.target.impl.err = errKnown
		values, errs := collect(f.stub.Count(t.Context(), 1))
		if len(values) != 1 || len(errs) != 1 || errs[0] != errKnown {
			t.Errorf("stream of %v, %v", values, errs)
		}
		f.target.impl.panics = "oops"
		if _, errs := collect(f.stub.Count(t.Context(), 1)); len(errs) != 1 || !errors.Is(errs[0], ErrPanic) {
			t.Errorf("a stream that panics gives %v", errs)
		}
	})
}

func TestStreamThatIsLeft(t *testing.T) {
	both(t, func(t *testing.T, f *fixture) {
		for v, err := range f.stub.Count(t.Context(), 5) {
			if err != nil || v[0] != 0 {
				t.Fatalf("first element %v, %v", v, err)
			}
			break
		}
		if !f.target.local && f.target.closed != 1 {
			t.Errorf("the stream was closed %d times", f.target.closed)
		}
		defer func() {
			if thrown := recover(); thrown != "mine" {
				t.Errorf("a panic of the loop's body arrives as %v", thrown)
			}
		}()
		for range f.stub.Count(t.Context(), 5) {
			panic("mine")
		}
	})
}

func TestStreamThatDoesNotOpen(t *testing.T) {
	f := newFixture(t)
	f.target.fails = ErrRemoteCall
	if _, errs := collect(f.stub.Count(t.Context(), 1)); len(errs) != 1 || errs[0] != ErrRemoteCall {
		t.Errorf("errors %v", errs)
	}
}

// TestCalleeThatIsNowhere: a call to a callee of which is not known where it is goes nowhere.
func TestCalleeThatIsNowhere(t *testing.T) {
	f := newFixture(t)
	f.target.lost = context.Canceled
	if _, err := f.stub.Echo(t.Context(), nil); err != context.Canceled {
		t.Errorf("call: %v", err)
	}
	if _, errs := collect(f.stub.Count(t.Context(), 1)); len(errs) != 1 || errs[0] != context.Canceled {
		t.Errorf("stream: %v", errs)
	}
	if len(f.target.requests) != 0 {
		t.Errorf("%d requests were made", len(f.target.requests))
	}
}

// TestCutStream: only a sequence that has ended by itself ends without an error.
func TestCutStream(t *testing.T) {
	f := newFixture(t)
	m := &f.target.component.Methods[1]
	args := Encoder{}
	args.Int(3)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		name   string
		ctx    context.Context
		unsent error
		status Status
		text   string
	}{
		{"whole", t.Context(), nil, StatusOK, ""},
		{"its element is too long", t.Context(), errors.New("too long"), StatusBadArgs, "too long"},
		{"its reader has gone", ended, context.Canceled, StatusCancelled, ""},
		{"its context ended after the last element", ended, nil, StatusCancelled, ""},
	} {
		status, text := Serve(test.ctx, f.target.component, m, f.target.impl, f.target.errors, args.Data(),
			Hooks{Send: func([]byte) error { return test.unsent }})
		if status != test.status || string(text) != test.text {
			t.Errorf("%s: status %d, %q", test.name, status, text)
		}
	}
}
