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

// TestMain makes the test's program the servers of its systems, by its first argument.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 {
		os.Exit(m.Run())
	}
	switch os.Args[1] {
	case "web":
		web(os.Args[2])
	case "sleep":
		fmt.Println("sleeps")
		<-time.After(time.Hour)
	case "fail":
		for i := range 12 {
			fmt.Println("word", i)
		}
		os.Exit(7)
	}
	os.Exit(m.Run())
}

// web answers with a text and its process.
func web(text string) {
	l, err := serve.Listener("web", "")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	answer := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text, " ", os.Getpid()) }
	err = serve.Run(context.Background(), serve.Server(l, &http.Server{Handler: http.HandlerFunc(answer)}))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
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
		Name: "web", Args: []string{"web", "hello"}, Listeners: []*system.Listener{l}, Ready: "notify",
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
