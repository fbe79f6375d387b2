package main

import (
	"fmt"
	"strings"
	"sync"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// enable has the browser report what watch sees.
func enable() chromedp.Action {
	return chromedp.Tasks{network.Enable(), log.Enable(), runtime.Enable()}
}

// awaitPromise has Evaluate wait for a promise.
func awaitPromise(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }

// watch collects what goes wrong in the browser.
type watch struct {
	mu       sync.Mutex // guards all of it
	expected int        // status of a page that is meant to fail
	problems []string
}

// expect says that pages are to have a status of failure from now on; 0 means none.
func (w *watch) expect(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expected = status
}

// take returns what went wrong since it was called last.
func (w *watch) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	problems := w.problems
	w.problems = nil
	return problems
}

// see takes an event of the browser.
func (w *watch) see(event any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	add := func(format string, args ...any) {
		w.problems = append(w.problems, fmt.Sprintf(format, args...))
	}
	switch e := event.(type) {
	case *network.EventResponseReceived:
		meant := e.Type == network.ResourceTypeDocument && int(e.Response.Status) == w.expected
		if e.Response.Status >= 400 && !meant {
			add("%s: status %d", e.Response.URL, e.Response.Status)
		} else if e.Type == network.ResourceTypeDocument && w.expected != 0 && !meant {
			add("%s: status %d, want %d", e.Response.URL, e.Response.Status, w.expected)
		}
	case *network.EventLoadingFailed:
		if !e.Canceled { // by leaving a page that asks every second
			add("a request for a %s failed: %s", strings.ToLower(e.Type.String()), e.ErrorText)
		}
	case *runtime.EventExceptionThrown:
		add("exception: %v", e.ExceptionDetails)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeAssert {
			var text []string
			for _, a := range e.Args {
				text = append(text, string(a.Value))
			}
			add("console: %s", strings.Join(text, " "))
		}
	case *log.EventEntryAdded:
		// That a request failed is seen above, with its status.
		if e.Entry.Level == log.LevelError && e.Entry.Source != log.SourceNetwork {
			add("console: %s", e.Entry.Text)
		}
	}
}
