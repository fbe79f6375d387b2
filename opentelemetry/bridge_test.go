package opentelemetry

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// build builds a package of this repository.
func build(t *testing.T, dir, pkg string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), filepath.Base(filepath.Join(dir, pkg)))
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", program, pkg)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", pkg, err, out)
	}
	return program
}

var address = regexp.MustCompile(`http://[a-z0-9.:]+`)

// run starts a program with its spans going to a collector, and returns the first address that it
// prints. It ends with the test, or when stop is called.
func run(t *testing.T, collector string, command ...string) (url string, stop func() string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "OTEL_EXPORTER_OTLP_ENDPOINT="+collector, "OTEL_TRACES_SAMPLER=always_on",
		"OTEL_BSP_SCHEDULE_DELAY=50", "DIVISI_HOME="+t.TempDir())
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	output, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	found := make(chan string, 1)
	all := make(chan string, 1)
	go func() {
		var text bytes.Buffer
		lines := bufio.NewScanner(io.TeeReader(output, &text))
		for lines.Scan() {
			if a := address.FindString(lines.Text()); a != "" {
				select {
				case found <- a:
				default:
				}
			}
		}
		all <- text.String()
	}()
	stopped := ""
	stop = func() string {
		if stopped == "" {
			cmd.Process.Signal(syscall.SIGTERM)
			if err := cmd.Wait(); err != nil {
				t.Errorf("%s: %v", command[0], err) // also one whose main calls log.Fatal
			}
			w.Close()
			stopped = <-all
		}
		return stopped
	}
	t.Cleanup(func() { stop() })
	select {
	case url = <-found:
	case <-time.After(time.Minute):
		t.Fatalf("%s prints no address: %s", command[0], stop())
	}
	return url, stop
}

func get(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(body))
}

// TestOneTrace: spans of the application and of Divisi are one trace, wherever components run.
func TestOneTrace(t *testing.T) {
	testapp := build(t, ".", "./testapp")
	divisi := build(t, "../cmd/divisi", ".")
	for _, tc := range []struct {
		name    string
		command []string
		want    []string
		apart   bool
	}{
		{"alone", []string{testapp}, []string{"HTTP web", "plan", "weigh"}, false},
		{"processes", []string{divisi, "run", testapp, "--replicas", "1"},
			[]string{"HTTP web", "plan", "testapp.Scale.Weigh client", "testapp.Scale.Weigh", "weigh"}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			collector, endpoint := serveHTTP(t)
			url, stop := run(t, endpoint, tc.command...)
			if body := get(t, url); body != "7 <nil>" {
				t.Errorf("the page is %q", body)
			}
			output := stop() // what is left is exported at the end
			spans := collector.named()
			if got := line(spans); !slices.Equal(got, tc.want) {
				t.Fatalf("spans from the root on: %q, want %q\n%s", got, tc.want, output)
			}
			for _, s := range spans {
				if !bytes.Equal(s.TraceId, spans["weigh"].TraceId) || s.resource["service.name"] != "testapp" {
					t.Errorf("%v is about %v", s.Span, s.resource)
				}
			}
			web, weigh := spans["HTTP web"].resource, spans["weigh"].resource
			if apart := web["service.instance.id"] != weigh["service.instance.id"]; apart != tc.apart {
				t.Errorf("spans are about %v and %v", web, weigh)
			}
			if a := texts(spans["weigh"].Attributes); a["thing"] != "feather" || len(spans["weigh"].Events) != 1 {
				t.Errorf("attributes %v, events %v", a, spans["weigh"].Events)
			}
		})
	}
}

// TestWarning: without the bridge a single process says what to import, and divisi run exports.
func TestWarning(t *testing.T) {
	hello := build(t, "..", "./examples/hello")
	_, stop := run(t, "http://localhost:1", hello)
	output := stop()
	if n := strings.Count(output, "opentelemetry.Context"); n != 1 ||
		!strings.Contains(output, "set=OTEL_EXPORTER_OTLP_ENDPOINT") {
		t.Errorf("%d lines of warning in:\n%s", n, output)
	}
}
