//go:build linux

package frame

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// sockets returns both ends of a connection.
func sockets(t testing.TB) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	ends := [2]*net.UnixConn{}
	for i, fd := range fds {
		file := os.NewFile(uintptr(fd), "socket")
		conn, err := net.FileConn(file)
		if err = errors.Join(err, file.Close()); err != nil {
			t.Fatal(err)
		}
		ends[i] = conn.(*net.UnixConn)
		t.Cleanup(func() { conn.Close() })
	}
	return ends[0], ends[1]
}

// serve serves one end until the test ends, and hands on how it ended.
func serve(t testing.TB, c *Conn, handle Handler) <-chan error {
	t.Helper()
	ended := make(chan error, 1)
	var served sync.WaitGroup
	served.Go(func() { ended <- c.Serve(context.Background(), handle) })
	t.Cleanup(func() { c.Close(); served.Wait() })
	return ended
}

// connect returns both ends of a connection that are served by handlers.
func connect(t testing.TB, a, b Handler) (*Conn, *Conn) {
	t.Helper()
	left, right := sockets(t)
	one, other := New(left), New(right)
	serve(t, one, a)
	serve(t, other, b)
	return one, other
}

// keepDescriptors fails the test if it leaves descriptors open, or closes those of others. It is
// called before anything else, so that it looks after everything else has been cleaned up.
func keepDescriptors(t testing.TB) {
	t.Helper()
	sockets(t) // whose first use opens what the runtime keeps
	before := open(t)
	t.Cleanup(func() {
		for fd, what := range open(t) {
			if before[fd] != what {
				t.Errorf("the descriptor %s of %s is left open", fd, what)
			}
		}
	})
}

func open(t testing.TB) map[string]string {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		if what, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			all[e.Name()] = what
		}
	}
	return all
}

// pipe returns a pipe that has a text in it, and the end to read it from.
func pipe(t testing.TB, text string) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	_, err = w.WriteString(text)
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return r
}

// texts reads files until their ends, and closes them.
func texts(files []*os.File) (string, error) {
	var all []string
	for _, f := range files {
		text, err := io.ReadAll(f)
		if err = errors.Join(err, f.Close()); err != nil {
			return "", err
		}
		all = append(all, string(text))
	}
	return strings.Join(all, ","), nil
}

// echo answers with the verb, the body and the texts of the files, and passes the files "x" and "y".
func echo(t testing.TB) Handler {
	return func(_ context.Context, r *Request) (any, []*os.File, error) {
		text, err := texts(r.Files)
		if err != nil {
			return nil, nil, err
		}
		return r.Verb + string(r.Body) + text, []*os.File{pipe(t, "x"), pipe(t, "y")}, nil
	}
}

func TestCallsGoBothWaysAtOnce(t *testing.T) {
	keepDescriptors(t)
	const many = 200
	one, other := connect(t, echo(t), echo(t))
	var calls sync.WaitGroup
	for i := range many {
		c := []*Conn{one, other}[i%2]
		calls.Go(func() {
			var got string
			files, err := c.Call(t.Context(), "v", i, []*os.File{pipe(t, "a"), pipe(t, "b")}, &got)
			if err != nil {
				t.Error(err)
				return
			}
			came, err := texts(files)
			if want := fmt.Sprintf("v%da,b", i); err != nil || got != want || came != "x,y" {
				t.Errorf("got %q with the files %q (%v), want %q", got, came, err, want)
			}
		})
	}
	calls.Wait()
}

// TestPassedSocketsStayAsTheyAre: what is passed is still the caller's, and still non-blocking for all
// who share it.
func TestPassedSocketsStayAsTheyAre(t *testing.T) {
	keepDescriptors(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()

	keep := make(chan *os.File, 1)
	_, c := connect(t, func(_ context.Context, r *Request) (any, []*os.File, error) {
		keep <- r.Files[0]
		r.Files = nil
		return nil, nil, nil
	}, nil)
	if _, err := c.Call(t.Context(), "keep", nil, []*os.File{file}, nil); err != nil {
		t.Fatal(err)
	}
	kept := <-keep
	defer kept.Close()
	if flags := flags(t, file); flags&syscall.O_NONBLOCK == 0 {
		t.Error("the socket was taken out of non-blocking mode")
	}
	copied, err := net.FileListener(kept)
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	if copied.Addr().String() != l.Addr().String() {
		t.Errorf("the socket of %v came as that of %v", l.Addr(), copied.Addr())
	}
}

func flags(t *testing.T, f *os.File) (flags uintptr) {
	t.Helper()
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		flags, _, _ = syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFL, 0)
	})
	if err != nil {
		t.Fatal(err)
	}
	return flags
}

// send writes bytes in one sendmsg, which passes files.
func send(t testing.TB, socket *net.UnixConn, text string, files ...*os.File) {
	t.Helper()
	fds, err := copies(files[:min(len(files), MaxFiles)])
	if err != nil {
		t.Fatal(err)
	}
	defer fds.close()
	for len(fds) < len(files) {
		fds = append(fds, fds[0])
	}
	if n, _, err := socket.WriteMsgUnix([]byte(text), syscall.UnixRights(fds...), nil); err != nil || n != len(text) {
		t.Fatalf("%d of %d bytes sent: %v", n, len(text), err)
	}
}

// TestDescriptorsBelongToTheirFrame sends frames with and without files, all of them before anything
// is read, cut at every byte.
func TestDescriptorsBelongToTheirFrame(t *testing.T) {
	keepDescriptors(t)
	const with = `{"id":2,"verb":"two","files":2}` + "\n"
	for cut := 1; cut <= len(with); cut++ {
		raw, socket := sockets(t)
		send(t, raw, `{"id":1,"verb":"none"}`+"\n")
		send(t, raw, with[:cut], pipe(t, "a"), pipe(t, "b"))
		send(t, raw, with[cut:]+`{"id":3,"verb":"none"}`+"\n"+`{"id":4,"ver`)
		send(t, raw, `b":"none"}`+"\n")
		send(t, raw, `{"id":5,"verb":"one","files":1}`+"\n", pipe(t, "c"))
		if err := raw.CloseWrite(); err != nil {
			t.Fatal(err)
		}

		var mu sync.Mutex
		got := map[string][]string{}
		err := New(socket).Serve(t.Context(), func(_ context.Context, r *Request) (any, []*os.File, error) {
			text, err := texts(r.Files)
			mu.Lock()
			defer mu.Unlock()
			got[r.Verb] = append(got[r.Verb], text)
			return nil, nil, err
		})
		want := map[string][]string{"none": {"", "", ""}, "two": {"a,b"}, "one": {"c"}}
		if fmt.Sprint(got) != fmt.Sprint(want) || err != nil {
			t.Fatalf("cut after %d bytes: got %v (%v), want %v", cut, got, err, want)
		}
	}
}

// TestEveryByteAlone: a peer may write byte by byte.
func TestEveryByteAlone(t *testing.T) {
	raw, socket := sockets(t)
	serve(t, New(socket), echo(t))
	for _, b := range `{"id":1,"verb":"say","unknown":[{}],"body":{"x":1}}` + "\n" {
		send(t, raw, string(b))
	}
	if got, want := line(t, raw), `{"id":1,"files":2,"body":"say{\"x\":1}"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// line reads one line.
func line(t testing.TB, socket *net.UnixConn) string {
	t.Helper()
	r := newReader(socket, MaxFrame)
	defer r.close()
	f, came, err := r.next()
	if err != nil {
		t.Fatal(err)
	}
	came.close()
	body := f.Body
	f.Body = nil
	text, err := f.encode(body, MaxFrame)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// TestBrokenPeersEndTheirOwnConnection also passes files in each of these ways, of which none stays
// open.
func TestBrokenPeersEndTheirOwnConnection(t *testing.T) {
	for _, test := range []struct {
		name, text string
		files      int
		want       string
	}{
		{"not JSON", "hello\n", 1, "a frame is malformed"},
		{"another type", `{"id":"x"}` + "\n", 0, "a frame is malformed"},
		{"no id", `{"verb":"list"}` + "\n", 0, "a frame has no id"},
		{"too long", strings.Repeat(" ", MaxFrame+1), 0, "a frame is longer than 1048576 bytes"},
		{"half", `{"id":1,`, 2, "unexpected EOF"},
		{"files that it does not say", `{"id":1,"verb":"v"}` + "\n", 1, "a frame says that it has 0 files, and came with 1"},
		{"files that do not come", `{"id":1,"verb":"v","files":2}` + "\n", 1, "a frame says that it has 2 files, and came with 1"},
		{"too many files", `{"id":1,"verb":"v","files":9}` + "\n", 9, "more than 8 files came with a frame"},
		{"far too many files", `{"id":1,"verb":"v","files":8}` + "\n", 200, "more than 8 files came with a frame"},
		{"less than no files", `{"id":1,"verb":"v","files":-1}` + "\n", 0, "a frame says that it has -1 files"},
		{"a long body that is nowhere", `{"id":1,"long":true}` + "\n", 0, "a frame has a long body, and is no answer with a file"},
		{"a long request", `{"id":1,"verb":"v","long":true,"files":1}` + "\n", 1, "a frame has a long body, and is no answer with a file"},
		{"an id twice", `{"id":1,"verb":"wait"}` + "\n" + `{"id":1,"verb":"wait"}` + "\n", 0, "the request 1 is made while it is open"},
	} {
		t.Run(test.name, func(t *testing.T) {
			keepDescriptors(t)
			raw, socket := sockets(t)
			ended := serve(t, New(socket), func(ctx context.Context, r *Request) (any, []*os.File, error) {
				<-ctx.Done()
				return nil, nil, ctx.Err()
			})
			var files []*os.File
			for range test.files {
				files = append(files, pipe(t, "a"))
			}
			for text := test.text; text != ""; {
				n := min(len(text), 32<<10)
				send(t, raw, text[:n], files...)
				text, files = text[n:], nil
			}
			if err := raw.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; !errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the connection ended with %v, want %q", err, test.want)
			}
		})
	}
}

// TestNoRoomForFiles: a process that cannot open more refuses the request that brings files, and goes
// on.
func TestNoRoomForFiles(t *testing.T) {
	keepDescriptors(t)
	raw, socket := sockets(t)
	files := []*os.File{pipe(t, "a"), pipe(t, "b"), pipe(t, "c")}
	send(t, raw, `{"id":1,"verb":"v","files":3}`+"\n", files...)
	send(t, raw, `{"id":2,"verb":"v"}`+"\n")

	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	free, err := copies(files[:1]) // the lowest number that is free
	if err != nil {
		t.Fatal(err)
	}
	free.close()
	after := syscall.Rlimit{Cur: uint64(free[0]) + 1, Max: before.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &after); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before)

	verbs := make(chan string, 2)
	serve(t, New(socket), func(_ context.Context, r *Request) (any, []*os.File, error) {
		verbs <- r.Verb
		return nil, nil, nil
	})
	if got := line(t, raw); !strings.Contains(got, `"code":"no_files"`) || !strings.Contains(got, `"hint":"raise`) {
		t.Errorf("the request was answered by %s", got)
	}
	if <-verbs; len(verbs) > 0 {
		t.Error("a request was handled without its files")
	}
}

// TestOneRequestTooMany: of 1,025 open requests one is refused, and the others are answered.
func TestOneRequestTooMany(t *testing.T) {
	release := make(chan struct{})
	_, c := connect(t, func(context.Context, *Request) (any, []*os.File, error) {
		<-release
		return nil, nil, nil
	}, nil)

	answers := make(chan error)
	for range MaxRequests + 1 {
		go func() {
			_, err := c.Call(context.WithoutCancel(t.Context()), "wait", nil, nil, nil)
			answers <- err
		}()
	}
	var refusal *Error
	if err := <-answers; !errors.As(err, &refusal) || refusal.Code != CodeBusy {
		t.Errorf("the first answer is %v, want a refusal", err)
	}
	close(release)
	for range MaxRequests {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
}

// TestPeerThatDoesNotRead loses its connection, and the descriptors that wait for it are closed.
func TestPeerThatDoesNotRead(t *testing.T) {
	keepDescriptors(t)
	raw, socket := sockets(t)
	large := strings.Repeat("x", maxInline-2)
	ended := serve(t, New(socket), func(context.Context, *Request) (any, []*os.File, error) {
		return large, []*os.File{pipe(t, "a")}, nil
	})
	for i := range 2 * maxQueue / maxInline {
		if _, err := fmt.Fprintf(raw, `{"id":%d,"verb":"v"}`+"\n", i+1); err != nil {
			break // the connection has ended
		}
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "the peer does not read") {
		t.Errorf("the connection ended with %v", err)
	}
}

func TestCancel(t *testing.T) {
	keepDescriptors(t)
	asked := make(chan struct{})
	_, c := connect(t, func(ctx context.Context, r *Request) (any, []*os.File, error) {
		if r.Verb == "hello" {
			return nil, nil, nil
		}
		asked <- struct{}{}
		<-ctx.Done()
		asked <- struct{}{}
		return nil, []*os.File{pipe(t, "a")}, nil // nobody takes it any more
	}, nil)

	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("why")
	go func() {
		<-asked
		cancel(why)
	}()
	if _, err := c.Call(ctx, "wait", nil, nil, nil); !errors.Is(err, why) {
		t.Errorf("the call ended with %v", err)
	}
	<-asked // by the peer, too
	if _, err := c.Call(t.Context(), "hello", nil, nil, nil); err != nil {
		t.Error(err)
	}
}

// TestEndOfConnection ends calls and requests.
func TestEndOfConnection(t *testing.T) {
	left, right := sockets(t)
	one, other := New(left), New(right)
	asked, left2 := make(chan struct{}), make(chan struct{})
	oneEnded := serve(t, one, func(ctx context.Context, r *Request) (any, []*os.File, error) {
		close(asked)
		<-ctx.Done()
		close(left2)
		return nil, nil, nil
	})
	otherEnded := serve(t, other, nil)
	go func() {
		<-asked
		other.Close()
	}()
	if _, err := other.Call(t.Context(), "wait", nil, nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("the call ended with %v", err)
	}
	<-left2
	if err := <-oneEnded; err != nil {
		t.Errorf("the end of one whose peer closed: %v", err)
	}
	if err := <-otherEnded; !errors.Is(err, ErrClosed) {
		t.Errorf("the end of one who closed: %v", err)
	}
	if _, err := other.Call(t.Context(), "late", nil, nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("a call afterwards: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	detail := json.RawMessage(`{"pid":7}`)
	_, c := connect(t, func(_ context.Context, r *Request) (any, []*os.File, error) {
		switch r.Verb {
		case "runs":
			return nil, nil, fmt.Errorf("cannot start: %w", &Error{Text: "cart-0 runs", Code: "runs", Way: "stop it", Detail: detail})
		case "plain":
			return nil, nil, errors.New("no disk")
		case "long":
			return strings.Repeat("x", MaxAnswer), nil, nil
		case "longer":
			return nil, nil, errors.New(strings.Repeat("x", MaxFrame))
		case "body":
			return nil, nil, r.Decode(new(int))
		}
		return nil, nil, Unknown(r.Verb)
	}, nil)
	for verb, want := range map[string]Error{
		"runs":   {"cannot start: cart-0 runs", "runs", "stop it", detail},
		"plain":  {Text: "no disk", Code: CodeFailed},
		"long":   {Text: "an answer is longer than 16777216 bytes", Code: CodeTooLong},
		"longer": {Text: `"` + strings.Repeat("x", 64) + `"`, Code: CodeFailed},
		"other":  {Text: `there is no request "other"`, Code: CodeUnknownVerb},
		"body":   {Text: `the body of "body" is malformed: json: cannot unmarshal string into Go value of type int`, Code: CodeInvalid},
	} {
		_, err := c.Call(t.Context(), verb, "text", nil, nil)
		var got *Error
		if !errors.As(err, &got) || fmt.Sprint(*got) != fmt.Sprint(want) || got.Hint() != want.Way {
			t.Errorf("%s was refused by %+v, want %+v", verb, got, want)
		}
	}

	// What does not fit is refused here.
	if _, err := c.Call(t.Context(), "v", strings.Repeat("x", MaxFrame), nil, nil); err == nil {
		t.Error("a body that is too long was sent")
	}
	if _, err := c.Call(t.Context(), "v", nil, make([]*os.File, MaxFiles+1), nil); err == nil {
		t.Error("nine files were sent")
	}
}

// TestLongAnswers do not need to fit into a frame.
func TestLongAnswers(t *testing.T) {
	keepDescriptors(t)
	const length = 3 << 20
	_, c := connect(t, func(_ context.Context, r *Request) (any, []*os.File, error) {
		return strings.Repeat("x", length), []*os.File{pipe(t, "a")}, nil
	}, nil)
	var got string
	files, err := c.Call(t.Context(), "v", nil, nil, &got)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := texts(files); err != nil || text != "a" || len(got) != length {
		t.Errorf("got %d bytes and the files %q, %v", len(got), text, err)
	}

	// What is said to be a body may be no file that has an end.
	raw, socket := sockets(t)
	other := New(socket)
	serve(t, other, nil)
	answered := make(chan error)
	go func() {
		_, err := other.Call(t.Context(), "v", nil, nil, &got)
		answered <- err
	}()
	line(t, raw)
	send(t, raw, `{"id":1,"files":1,"long":true}`+"\n", pipe(t, "a"))
	if err := <-answered; err == nil {
		t.Error("a pipe was taken for a body")
	}
}

// FuzzServe lets a peer say anything. The connection ends when it has, and what it was told are
// whole answers to what it has asked.
func FuzzServe(f *testing.F) {
	f.Add([]byte(`{"id":1,"verb":"v","body":{"a":[1,2]}}`+"\n"+`{"id":2,"verb":"w"}`+"\n"+`{"id":1,"cancel":true}`+"\n"), uint8(0))
	f.Add([]byte(`{"id":1,"verb":"v","files":2}`+"\n"), uint8(2))
	f.Add([]byte(`{"id":9,"body":7}`+"\n"+`{"id":18446744073709551615,"verb":"v"}`+"\n"+`{"id":1,"error":"no","code":"c","detail":null}`+"\n"), uint8(0))
	f.Add([]byte("\n\n"), uint8(9))
	f.Add([]byte(`{"id":1,"verb":"`+"\xff\xfe"+`","body":[[[`), uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, files uint8) {
		raw, socket := sockets(t)
		ended := serve(t, New(socket), func(_ context.Context, r *Request) (any, []*os.File, error) {
			return r.Body, nil, nil
		})
		data = data[:min(len(data), 32<<10)]
		if len(data) > 0 {
			var all []*os.File
			for range files % 12 {
				all = append(all, pipe(t, "a"))
			}
			send(t, raw, string(data), all...)
		}
		if err := raw.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err != nil && !errors.Is(err, ErrClosed) {
			t.Errorf("the connection ended with %v", err)
		}

		asked := map[uint64]int{}
		for line := range strings.Lines(string(data)) {
			if f, err := decode([]byte(line)); err == nil {
				asked[f.ID]++
			}
		}
		for r := newReader(raw, MaxFrame); ; {
			f, _, err := r.next()
			if err != nil {
				break
			}
			if asked[f.ID]--; f.Verb != "" || asked[f.ID] < 0 {
				t.Errorf("it was told %+v", f)
			}
		}
	})
}
