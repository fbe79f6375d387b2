// Testapp is what the tests of this folder deploy: components that say where they run, that
// crash, count and compute on demand, and that have answers which must be the same wherever they
// run.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/divisi-go/divisi"
)

type app struct {
	divisi.Implements[divisi.Main]
	a       divisi.Ref[A]
	b       divisi.Ref[B]
	c       divisi.Ref[C]
	crash   divisi.Ref[Crash]
	probe   divisi.Ref[Probe]
	loner   divisi.Ref[Loner]
	testapp divisi.Listener
}

func main() {
	err := divisi.Run(context.Background(), func(ctx context.Context, a *app) error {
		mux := http.NewServeMux()
		for path, page := range map[string]func(context.Context, *strings.Builder, int) error{
			"where": a.where, "direct": a.direct, "chain": a.chain, "bump": a.bump, "burn": a.burn,
			"answers": a.answers, "touch": a.touch, "hold": hold, "jam": a.jam,
		} {
			mux.Handle("/"+path, divisi.InstrumentHandlerFunc(path, func(w http.ResponseWriter, r *http.Request) {
				n, err := strconv.Atoi(r.FormValue("n"))
				var b strings.Builder
				if err == nil {
					err = page(r.Context(), &b, n)
				}
				if err != nil {
					http.Error(w, err.Error(), http.StatusBadGateway)
					return
				}
				fmt.Fprint(w, b.String())
			}))
		}
		mux.HandleFunc("/later", a.later)
		return http.Serve(a.testapp, mux)
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "testapp:", err)
		os.Exit(1)
	}
}

// where prints the processes in which A is, in which A finds B, and in which A finds C, of n calls.
func (a *app) where(ctx context.Context, w *strings.Builder, n int) error {
	w.WriteString("where")
	found, err := a.a.Get().Where(ctx, n)
	fmt.Fprintf(w, " %d %s %s", found.Here, pids(found.B), pids(found.C))
	return err
}

func pids(list []int) string {
	slices.Sort(list)
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(slices.Compact(list)), "[]"), " ", ",")
}

// direct makes a call of C that is made once, through A.
func (a *app) direct(ctx context.Context, w *strings.Builder, _ int) error {
	pid, err := a.a.Get().Once(ctx)
	fmt.Fprint(w, pid)
	return err
}

// chain makes a request that passes through A and B.
func (a *app) chain(ctx context.Context, w *strings.Builder, _ int) error {
	path, err := a.a.Get().Chain(ctx)
	w.WriteString(path)
	return err
}

// later begins its answer, waits for n milliseconds, and then makes a request like chain.
func (a *app) later(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.FormValue("n"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}

	w.(http.Flusher).Flush()
	time.Sleep(time.Duration(n) * time.Millisecond)
	path, err := a.a.Get().Chain(r.Context())
	if err != nil {
		path = err.Error()
	}
	fmt.Fprint(w, path)
}

// bump has A and B count n times each, at once.
func (a *app) bump(ctx context.Context, _ *strings.Builder, n int) error {
	var wait sync.WaitGroup
	var errA, errB error
	wait.Go(func() { errA = a.a.Get().Bump(ctx, n) })
	wait.Go(func() { errB = a.b.Get().Bump(ctx, n) })
	wait.Wait()
	return errors.Join(errA, errB)
}

// burn has C compute for n milliseconds.
func (a *app) burn(ctx context.Context, w *strings.Builder, n int) error {
	rounds, err := a.c.Get().Burn(ctx, n)
	fmt.Fprint(w, rounds > 0)
	return err
}

// jam has the loner wait for itself, and gives up after n milliseconds.
func (a *app) jam(ctx context.Context, w *strings.Builder, n int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(n)*time.Millisecond)
	defer cancel()
	fmt.Fprintln(w, errors.Join(a.loner.Get().Jam(ctx), a.loner.Get().Jam(ctx)))
	return nil
}

var held sync.Map

// hold keeps n megabytes in memory, and collects garbage: profiles are as of then.
func hold(_ context.Context, w *strings.Builder, n int) error {
	block := make([]byte, n<<20)
	held.Store(&block[0], block)
	runtime.GC()
	fmt.Fprint(w, len(block))
	return nil
}

// touch calls the components that do nothing, and waits n milliseconds for them at most; without an
// end if n is 0.
func (a *app) touch(ctx context.Context, _ *strings.Builder, n int) error {
	if n > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(n)*time.Millisecond)
		defer cancel()
	}
	return errors.Join(a.crash.Get().Touch(ctx), a.loner.Get().Touch(ctx))
}
