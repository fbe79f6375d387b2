package consulapi

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/divisi-go/divisi/store"
)

var update = flag.Bool("update", false, "write the answers anew")

// served is a server with a store of its own.
type served struct {
	*Server
	url   string
	store *store.Store
	stop  func() // ends the server, and returns when it has ended
}

// serve serves a store in a folder until the test ends.
func serve(t *testing.T, dir string) *served {
	t.Helper()
	kept, err := store.Open(t.Context(), store.Options{Dir: dir, MaxTxnOps: 512})
	if err != nil {
		t.Fatal(err)
	}
	s := &served{Server: New(kept.Client(), Options{Node: "n1"}), store: kept}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.url = "http://" + l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	stopped := false
	s.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() {
		s.stop()
		if err := kept.Close(); err != nil {
			t.Error(err)
		}
	})
	<-s.upkeep.Followed()
	return s
}

// do sends a request.
func (s *served) do(t *testing.T, method, path, body string) *http.Response {
	t.Helper()
	r, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

// waits returns when so many requests wait.
func (s *served) waits(t *testing.T, n int) {
	t.Helper()
	soon := time.After(time.Minute)
	for {
		asked := s.poll.Asking()
		if asked == n {
			return
		}
		select {
		case <-time.After(time.Millisecond):
		case <-soon:
			t.Fatalf("%d requests wait, and not %d", asked, n)
		}
	}
}

// shownHeaders are those that the answers in testdata have.
var shownHeaders = []string{"X-Consul-Index", "X-Consul-LastContact", "Content-Type", "X-Content-Type-Options", "Content-Security-Policy", "Allow", "Location"}

// conversation replaces what differs from run to run.
type conversation struct {
	ids   []string
	index string // of the last answer
}

var uuid = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)

func (c *conversation) hide(text string) string {
	return uuid.ReplaceAllStringFunc(text, func(id string) string {
		for i, known := range c.ids {
			if known == id {
				return fmt.Sprintf("<%d>", i+1)
			}
		}
		c.ids = append(c.ids, id)
		return fmt.Sprintf("<%d>", len(c.ids))
	})
}

func (c *conversation) show(text string) string {
	text = strings.ReplaceAll(text, "index=$", "index="+c.index)
	for i, id := range c.ids {
		text = strings.ReplaceAll(text, fmt.Sprintf("<%d>", i+1), id)
	}
	return text
}

// told writes an answer as testdata has it.
func (c *conversation) told(t *testing.T, r *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if index := r.Header.Get("X-Consul-Index"); index != "" {
		c.index = index
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\t%d\n", r.StatusCode)
	for _, name := range shownHeaders {
		if value := r.Header.Get(name); value != "" {
			fmt.Fprintf(&b, "\t%s: %s\n", name, value)
		}
	}
	if len(body) > 0 {
		fmt.Fprintf(&b, "\t%s\n", strings.ReplaceAll(strings.TrimSuffix(c.hide(string(body)), "\n"), "\n", "\n\t"))
	}
	return b.String()
}

// TestAnswers sends the requests in testdata, each to a new store, and compares the answers. A line is a request: its
// method, its path, and its body. One that ends with & is sent and not waited for, and "wait" is where its answer comes.
// <1> is the first ID that was in an answer, and $ the index of the last one.
func TestAnswers(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("there is no testdata: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := converse(t, serve(t, t.TempDir()), string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			compare(t, file, got, string(want))
		})
	}
}

func compare(t *testing.T, file, got, want string) {
	t.Helper()
	gotten, wanted := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range wanted {
		if i >= len(gotten) || gotten[i] != wanted[i] {
			t.Fatalf("%s:%d: it is not %s\n%s", file, i+1, wanted[i], got)
		}
	}
}

func converse(t *testing.T, s *served, script string) string {
	t.Helper()
	var c conversation
	var b strings.Builder
	var later []chan *http.Response
	lines := bufio.NewScanner(strings.NewReader(script))
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "\t") {
			continue // an answer of the last time
		}
		fmt.Fprintln(&b, line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if line == "wait" {
			select {
			case answer := <-later[0]:
				b.WriteString(c.told(t, answer))
			case <-time.After(time.Minute):
				t.Fatalf("nothing is told:\n%s", &b)
			}
			later = later[1:]
			continue
		}
		line, background := strings.CutSuffix(c.show(line), " &")
		method, rest, _ := strings.Cut(line, " ")
		path, body, _ := strings.Cut(rest, " ")
		if !background {
			b.WriteString(c.told(t, s.do(t, method, path, body)))
			continue
		}
		answer := make(chan *http.Response, 1)
		later = append(later, answer)
		go func() { answer <- s.do(t, method, path, body) }()
		s.waits(t, len(later))
	}
	return b.String()
}
