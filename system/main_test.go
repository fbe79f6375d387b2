package system_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/divisi-go/divisi/serve"
	"github.com/divisi-go/divisi/system"
	"github.com/divisi-go/divisi/system/systemtest"
)

func TestMain(m *testing.M) {
	systemtest.Main(m, func() { system.Run("test", nil) })
}

// The servers of the systems.
var (
	web     = system.Server("web", func(text string) error { return answer(text) })
	sleeper = system.Server("sleep", func([]string) error {
		fmt.Println("sleeps")
		<-time.After(time.Hour)
		return nil
	})
	failing = system.Server("fail", func([]string) error {
		for i := range 12 {
			fmt.Println("word", i)
		}
		os.Exit(7)
		return nil
	})
)

// answer answers with a text and its process.
func answer(text string) error {
	l, err := serve.Listener("web", "")
	if err != nil {
		return err
	}
	page := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text, " ", os.Getpid()) }
	return serve.Run(context.Background(), serve.Server(l, &http.Server{Handler: http.HandlerFunc(page)}))
}

func TestEnsure(t *testing.T) {
	t.Parallel()
	ctx, n, h := systemtest.New(t)
	l, err := h.Listen(ctx, n, "web", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	p, err := h.Ensure(ctx, n, system.Spec{
		Name: "web", Program: web, Args: []any{"hello"}, Listeners: []*system.Listener{l}, Ready: "notify",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Log("it was ready after", time.Since(started))
	if p.ID() != "web@/test" || p.Outcome() != system.Started || p.Pid() == 0 || l.Name() != "web" {
		t.Errorf("%s was %s as process %d, with the listener %s", p.ID(), p.Outcome(), p.Pid(), l.Name())
	}
	if got, want := get(t, l), fmt.Sprint("hello ", p.Pid()); got != want {
		t.Errorf("the answer is %q, not %q", got, want)
	}
}
