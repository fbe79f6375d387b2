package serve_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/divisi-go/divisi/serve"
)

// A server of HTTP ends when the context does, or the process gets SIGINT or SIGTERM.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l, err := serve.Listener("web", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	web := serve.Server(l, &http.Server{Handler: http.HandlerFunc(
		func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "Hello!") })})

	visit := serve.Func(func(ctx context.Context) error {
		resp, err := http.Get("http://" + l.Addr().String())
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		fmt.Printf("%s", body)
		cancel()
		return err
	})
	fmt.Println(serve.Run(ctx, web, visit))
	// Output:
	// Hello!
	// <nil>
}

// A member of one's own cleans up within the time that is left.
func ExampleEnding() {
	ctx, cancel := context.WithCancel(context.Background())
	store := serve.Func(func(ctx context.Context) error {
		cancel() // as a signal does
		<-ctx.Done()
		ending, stop := serve.Ending(ctx)
		defer stop()
		deadline, _ := ending.Deadline()
		fmt.Println("writing what is left, within", time.Until(deadline).Round(time.Second))
		return nil
	})

	fmt.Println(serve.Group{Limit: 10 * time.Second}.Run(ctx, store))
	// Output:
	// writing what is left, within 9s
	// <nil>
}

// Any protocol over TCP can be served.
func ExampleConns() {
	l, err := serve.Listener("echo", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	echo := serve.Conns(l, func(_ context.Context, c net.Conn) { io.Copy(c, c) })

	ctx, cancel := context.WithCancel(context.Background())
	client := serve.Func(func(context.Context) error {
		defer cancel()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return err
		}
		defer c.Close()
		fmt.Fprint(c, "echo")
		var b [4]byte
		_, err = io.ReadFull(c, b[:])
		fmt.Printf("%s\n", b)
		return err
	})
	fmt.Println(serve.Run(ctx, echo, client))
	// Output:
	// echo
	// <nil>
}
