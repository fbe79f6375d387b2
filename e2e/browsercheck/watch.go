package main

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

type action = chromedp.Action[chromedp.Void]

// enable has the browser report what watch sees.
func enable(ctx context.Context, t *chromedp.Target) (v chromedp.Void, err error) {
	if _, err = cdp.Call(ctx, t, network.Enable, network.EnableParams{}); err != nil {
		return v, err
	}
	if _, err = cdp.Call(ctx, t, log.Enable, cdp.Empty{}); err != nil {
		return v, err
	}
	_, err = cdp.Call(ctx, t, runtime.Enable, cdp.Empty{})
	return v, err
}

// dark has pages believe that the user prefers dark ones.
func dark(ctx context.Context, t *chromedp.Target) (v chromedp.Void, err error) {
	_, err = cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}},
	})
	return v, err
}

// watch collects what goes wrong in the browser.
type watch struct {
	mu       sync.Mutex // guards all of it
	expected int        // status of what is meant to fail
	problems []string
}

// expect says that pages are to have a status of failure from now on, and that other requests may; 0 means none.
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
		page := e.Type == network.ResourceTypeDocument
		switch status := int(e.Response.Status); {
		case page && w.expected != 0 && status != w.expected:
			add("%s: status %d, want %d", e.Response.URL, status, w.expected)
		case status >= 400 && status != w.expected:
			add("%s: status %d", e.Response.URL, status)
		}
	case *network.EventLoadingFailed:
		if !e.Canceled { // by leaving a page that asks every second
			add("a request (%s) failed: %s", e.Type, e.ErrorText)
		}
	case *runtime.EventExceptionThrown:
		d := e.ExceptionDetails
		text := d.Text
		if d.Exception != nil {
			text += " " + d.Exception.Description
		}
		add("exception at %s:%d: %s", d.URL, d.LineNumber+1, text)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeAssert {
			var text []string
			for _, a := range e.Args {
				text = append(text, string(a.Value)+a.Description)
			}
			add("console: %s", strings.Join(text, " "))
		}
	case *log.EventEntryAdded:
		// That a request failed is seen above, with its status.
		if e.Entry.Level == log.EntryLevelError && e.Entry.Source != log.EntrySourceNetwork {
			add("console: %s", e.Entry.Text)
		}
	}
}
