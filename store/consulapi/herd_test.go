package consulapi

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var watchers = flag.Int("watchers", 200, "how many wait for one key")

// crowd sends requests over a connection each, and returns how they are answered.
func (s *served) crowd(ctx context.Context, n int, path func(int) string) <-chan string {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: -1}}
	answers := make(chan string, n)
	for i := range n {
		go func() {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path(i), nil)
			if err != nil {
				answers <- err.Error()
				return
			}
			response, err := client.Do(r)
			if err != nil {
				answers <- err.Error()
				return
			}
			body, _ := io.ReadAll(response.Body)
			_ = response.Body.Close()
			answers <- fmt.Sprintf("%s %s %v", response.Header.Get("X-Consul-Index"), body, response.Close)
		}()
	}
	return answers
}

func gather(answers <-chan string, n int) map[string]int {
	all := map[string]int{}
	for range n {
		all[<-answers]++
	}
	return all
}

// TestHerd: all who wait for a key are told, none who waits for another one is, those who hang up are gone, and those whose
// server stops are answered with what there is.
func TestHerd(t *testing.T) {
	s := serve(t, t.TempDir())
	s.do(t, http.MethodPut, "/v1/kv/k", "1").Body.Close()
	same := func(int) string { return "/v1/kv/k?raw&index=4&wait=10m" }
	other := func(i int) string { return fmt.Sprintf("/v1/kv/other/%d?raw&index=4&wait=10m", i) }
	before := runtime.NumGoroutine()

	others, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	asleep := s.crowd(others, *watchers, other)
	herd := s.crowd(t.Context(), *watchers, same)
	s.waits(t, 2**watchers)
	begun := time.Now()
	s.do(t, http.MethodPut, "/v1/kv/k", "2").Body.Close()
	if got := gather(herd, *watchers); got["5 2 false"] != *watchers {
		t.Errorf("they are told %v", got)
	}
	t.Logf("%d are told in %v", *watchers, time.Since(begun))
	s.waits(t, *watchers)
	select {
	case a := <-asleep:
		t.Errorf("one who waits for another key is told %s", a)
	default:
	}

	hangUp()
	s.waits(t, 0)
	for runtime.NumGoroutine() > before+20 {
		<-time.After(time.Millisecond)
	}
	t.Logf("those who hung up are gone after %v", time.Since(begun))

	stopped := s.crowd(t.Context(), *watchers, func(int) string { return "/v1/kv/k?raw&index=5&wait=10m" })
	s.waits(t, *watchers)
	s.stop()
	if got := gather(stopped, *watchers); got["5 2 true"] != *watchers {
		t.Errorf("when the server stops, they are told %v", got)
	}
}

// watcher follows a query by the rules of blocking queries.
type watcher struct {
	path  string
	index int64
	body  string
}

// poll asks once, and reports whether the index has fallen.
func (w *watcher) poll(ctx context.Context, url string, wait string) error {
	separator := "?"
	if strings.Contains(w.path, "?") {
		separator = "&"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s%s%sindex=%d&wait=%s", url, w.path, separator, w.index, wait), nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	index, err := strconv.ParseInt(response.Header.Get("X-Consul-Index"), 10, 64)
	if err != nil || index < 1 || index < w.index {
		return fmt.Errorf("the index of %s is %d after %d: %v", w.path, index, w.index, err)
	}
	w.index, w.body = index, string(body)
	return nil
}

// TestFollow: whatever is written, whoever follows a query by its index has at the end what there is, and its index never
// falls, over a restart of the server either.
func TestFollow(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir)
	var all []*watcher
	for _, path := range []string{"a", "a/b", "a/b/c", "b/x", "?recurse", "a?recurse", "a/?recurse", "a/b/?recurse", "b/?keys", "?keys&separator=/", "zz/?recurse"} {
		all = append(all, &watcher{path: "/v1/kv/" + path})
	}

	var following sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for _, w := range all {
		following.Go(func() {
			for ctx.Err() == nil {
				err := w.poll(ctx, s.url, "10m")
				if err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var writing sync.WaitGroup
	for writer := range uint64(3) {
		writing.Go(func() { s.scribble(t, rand.New(rand.NewPCG(writer, 7)), 60) })
	}
	writing.Wait()
	s.do(t, http.MethodPut, "/v1/kv/zz/end", "").Body.Close()
	cancel()
	following.Wait()

	s.settle(t, all)
	final := map[string]string{}
	for _, w := range all {
		final[w.path] = fmt.Sprint(w.index, w.body)
	}
	s.stop()
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	again := serve(t, dir)
	again.settle(t, all)
	for _, w := range all {
		if got := fmt.Sprint(w.index, w.body); got != final[w.path] {
			t.Errorf("after a restart %s is %s, and was %s", w.path, got, final[w.path])
		}
	}
}

// settle asks until each watcher has what there is.
func (s *served) settle(t *testing.T, all []*watcher) {
	t.Helper()
	for _, w := range all {
		now := &watcher{path: w.path}
		if err := now.poll(t.Context(), s.url, "1ms"); err != nil {
			t.Fatal(err)
		}
		if err := w.poll(t.Context(), s.url, "1ms"); err != nil {
			t.Error(err)
		}
		if now.index != w.index || now.body != w.body {
			t.Errorf("%s has %d %s, and there is %d %s", w.path, w.index, w.body, now.index, now.body)
		}
	}
}

// scribble writes and deletes.
func (s *served) scribble(t *testing.T, r *rand.Rand, times int) {
	keys := []string{"a", "a/b", "a/b/c", "a/b/d", "a/e", "b/x", "b/y", "c"}
	for range times {
		key := keys[r.IntN(len(keys))]
		value := strconv.Itoa(r.IntN(3))
		switch r.IntN(6) {
		case 0:
			s.do(t, http.MethodDelete, "/v1/kv/"+key, "").Body.Close()
		case 1:
			s.do(t, http.MethodDelete, "/v1/kv/"+key[:1]+"?recurse", "").Body.Close()
		case 2:
			body, _ := json.Marshal([]any{
				map[string]any{"KV": map[string]any{"Verb": "set", "Key": key, "Value": []byte(value)}},
				map[string]any{"KV": map[string]any{"Verb": "delete", "Key": keys[r.IntN(len(keys))]}},
			})
			s.do(t, http.MethodPut, "/v1/txn", string(body)).Body.Close()
		case 3:
			_, err := s.store.Client().Put(t.Context(), "consul/kv/"+key, value)
			if err != nil {
				t.Error(err)
			}
		default:
			s.do(t, http.MethodPut, "/v1/kv/"+key, value).Body.Close()
		}
	}
}

// TestBothAPIs: a key that one API writes, the other reads and watches, in one order.
func TestBothAPIs(t *testing.T) {
	s := serve(t, t.TempDir())
	client := s.store.Client()
	watch := client.Watch(t.Context(), "consul/kv/k")
	put, err := client.Put(t.Context(), "consul/kv/k", "etcd")
	if err != nil {
		t.Fatal(err)
	}
	w := &watcher{path: "/v1/kv/k?raw", index: 1}
	if err := w.poll(t.Context(), s.url, "10m"); err != nil || w.body != "etcd" || w.index != put.Header.Revision {
		t.Fatalf("Consul's has %+v: %v", w, err)
	}
	polled := make(chan error, 1)
	go func() { polled <- w.poll(t.Context(), s.url, "10m") }()
	s.waits(t, 1)
	if _, err := client.Delete(t.Context(), "consul/kv/k"); err != nil {
		t.Fatal(err)
	}
	if err := <-polled; err != nil || w.body != "" {
		t.Fatalf("Consul's has %+v: %v", w, err)
	}

	s.do(t, http.MethodPut, "/v1/kv/k?flags=3", "consul").Body.Close()
	var seen []string
	for r := range watch {
		for _, e := range r.Events {
			seen = append(seen, string(e.Kv.Value))
		}
		if len(seen) == 3 {
			break
		}
	}
	if !slices.Equal(seen, []string{"etcd", "", "consul"}) {
		t.Errorf("etcd's has seen %q", seen)
	}
	// What a deleted key has left says nothing of the next one.
	if _, err := client.Delete(t.Context(), "consul/kv/k"); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Put(t.Context(), "consul/kv/k", "new"); err != nil {
		t.Fatal(err)
	}
	read := s.do(t, http.MethodGet, "/v1/kv/k", "")
	body, _ := io.ReadAll(read.Body)
	if !strings.Contains(string(body), `"Flags":0`) {
		t.Errorf("the new key is %s", body)
	}
}
