package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/divisi-go/divisi/system"
)

// replacements is how often content and handlers are replaced under load.
var replacements = flag.Int("replacements", 2, "of content and of handlers under load")

// served asks for a page on a connection of its own, and returns which server has answered, and what.
func served(url string) (by, text string, err error) {
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return "", "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return response.Header.Get("X-Served-By"), strings.TrimSpace(string(body)), err
}

// shared URL NAME...: eight callers ask 200 times; each of the servers answers at least one in ten, and nobody else does.
// Of who waits at a socket the kernel prefers who has just run, so that one caller alone would meet the same one most often.
func shared(ts *testscript.TestScript, _ bool, args []string) {
	const callers, all = 8, 200
	var mu sync.Mutex // guards answers and failed
	answers := map[string]int{}
	var failed error
	var calls sync.WaitGroup
	for range callers {
		calls.Go(func() {
			for range all / callers {
				by, _, err := served(args[0])
				mu.Lock()
				answers[by]++
				failed = errors.Join(failed, err)
				mu.Unlock()
			}
		})
	}
	calls.Wait()
	ts.Check(failed)
	for by, n := range answers {
		if n < all/10 || !slices.Contains(args[1:], by) {
			ts.Fatalf("%s answered %d of %d: %v", by, n, all, answers)
		}
	}
	if len(answers) != len(args)-1 {
		ts.Fatalf("not all have answered: %v", answers)
	}
	ts.Logf("%v", answers)
}

// killed URL PID: four callers ask 400 times, and the process is killed meanwhile. No request fails but those that may have
// been inside it.
func killed(ts *testscript.TestScript, _ bool, args []string) {
	const callers, all = 4, 400
	pid, err := strconv.Atoi(args[1])
	ts.Check(err)
	var made, failed atomic.Int64
	var last atomic.Pointer[error]
	var calls sync.WaitGroup
	for range callers {
		calls.Go(func() {
			for n := made.Add(1); n <= all; n = made.Add(1) {
				if n == all/4 {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
				if _, _, err := served(args[0]); err != nil {
					failed.Add(1)
					last.Store(&err)
				}
			}
		})
	}
	calls.Wait()
	if failed.Load() > callers {
		ts.Fatalf("%d requests failed, more than the %d that may have been inside the process: %v", failed.Load(), callers, *last.Load())
	}
	ts.Logf("%d of %d failed", failed.Load(), all)
}

// replaced URL KIND NAME ONE OTHER: two callers ask while content is pushed in turns, ONE last. No request fails, and each
// answer is the name of one of the two folders that the files are in.
func replaced(ts *testscript.TestScript, _ bool, args []string) {
	url, kind, of, versions := args[0], args[1], args[2], args[3:]
	stop := make(chan struct{})
	var calls sync.WaitGroup
	var wrong atomic.Pointer[string]
	var made atomic.Int64
	for range 2 {
		calls.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				_, text, err := served(url)
				made.Add(1)
				if err != nil || !slices.ContainsFunc(versions, func(v string) bool { return strings.HasPrefix(v, text+"/") }) {
					is := fmt.Sprintf("%q, %v", text, err)
					wrong.Store(&is)
				}
			}
		})
	}
	for n := range *replacements {
		err := ts.Exec("divisi", "push", kind, versions[(n+1)%2], of, "--yes")
		if err == nil && wrong.Load() == nil {
			continue
		}
		close(stop)
		calls.Wait()
		ts.Check(err)
		ts.Fatalf("an answer: %s", *wrong.Load())
	}
	close(stop)
	calls.Wait()
	if wrong.Load() != nil {
		ts.Fatalf("an answer: %s", *wrong.Load())
	}
	ts.Logf("%d requests, %d replacements", made.Load(), *replacements)
}

// resolves NAME SOCKET TARGET...: the server "dns" comes to answer that these and no others have the socket, and each target has
// an address.
func resolves(ts *testscript.TestScript, _ bool, args []string) {
	asked, want := args[0], args[2:]
	said, _, _ := strings.Cut(string(ask(ts, "logs", "dns")), "\n")
	_, at, ok := strings.Cut(said, "answers at ")
	if !ok {
		ts.Fatalf("divisi dns says %q", said)
	}
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, strings.TrimSpace(at))
	}}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	poll(ts, fmt.Sprintf("%s of %s to be %v", args[1], asked, want), func() bool {
		_, services, err := resolver.LookupSRV(ctx, args[1], "tcp", asked)
		var failed *net.DNSError
		if err != nil && !(errors.As(err, &failed) && failed.IsNotFound) {
			ts.Fatalf("%v", err)
		}
		var targets []string
		for _, s := range services {
			targets = append(targets, s.Target)
		}
		slices.Sort(targets)
		return slices.Equal(targets, want)
	})
	for _, target := range want {
		addresses, err := resolver.LookupHost(ctx, target)
		if err != nil || !slices.Equal(addresses, []string{"127.0.0.1"}) {
			ts.Fatalf("%s is at %v, %v", target, addresses, err)
		}
	}
}

// found SELECTOR [N]: a program that prints the servers that package system finds, as soon as there are N.
func found() {
	list, err := system.Lookup(context.Background(), os.Args[1])
	if len(os.Args) > 2 {
		for list, err = range system.Follow(context.Background(), os.Args[1]) {
			if err != nil || strconv.Itoa(len(list)) == os.Args[2] {
				break
			}
		}
	}
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(list)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
