package e2e

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// served asks for a page on a connection of its own, and returns which server has answered.
func served(url string) (string, error) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.Header.Get("X-Served-By"), err
}

// shared URL NAME...: asks 200 times; each of the servers answers at least one in ten, and nobody else does.
func shared(ts *testscript.TestScript, _ bool, args []string) {
	const all = 200
	answers := map[string]int{}
	for range all {
		by, err := served(args[0])
		ts.Check(err)
		answers[by]++
	}
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
				if _, err := served(args[0]); err != nil {
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
