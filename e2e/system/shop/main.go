// Shop is a system with an application of components in it, and a program that this depends on.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/divisi-go/divisi"
	"github.com/divisi-go/divisi/serve"
	"github.com/divisi-go/divisi/system"
)

// edition is that of the build.
var edition = "1"

func main() { system.Run("subject", deploy) }

var (
	prices = system.Server("prices", func([]string) error {
		l, err := serve.Listener("prices", "")
		if err != nil {
			return err
		}
		answer := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "7") }
		return serve.Run(context.Background(), serve.Server(l, &http.Server{Handler: http.HandlerFunc(answer)}))
	})
	components = system.Server("shop", func(args []string) error {
		return divisi.Run(context.Background(), func(_ context.Context, a *app) error {
			return http.Serve(a.web, a.page(args[0]))
		})
	})
)

// deploy starts the prices, and the shop that asks for them. With SHOP_FAULT its labels never get ready, or
// when there is the file "warm", within the time SHOP_WITHIN.
func deploy(ctx context.Context, n *system.Nursery, h *system.Host) error {
	inner, err := h.Listen(ctx, n, "prices", "127.0.0.1:0")
	if err != nil {
		return err
	}
	web, err := h.Listen(ctx, n, "web", "127.0.0.1:0")
	if err != nil {
		return err
	}
	_, err = h.Ensure(ctx, n, system.Spec{
		Name: "prices", Program: prices, Listeners: []*system.Listener{inner}, Ready: "notify",
	})
	if err != nil {
		return err
	}

	app := system.Application{
		Name: "shop", Program: components, Args: []any{inner.Addr()}, Listeners: []*system.Listener{web},
		Config: "[divisi]\nreplicas = 1\n", Policy: system.Policy{Intensity: 1},
	}
	if fault := os.Getenv("SHOP_FAULT"); fault != "" {
		app.Env, app.Within = []string{"SHOP_FAULT=" + fault, "SHOP_EAGER=" + os.Getenv("SHOP_EAGER")}, 10*time.Second
		if within, err := time.ParseDuration(os.Getenv("SHOP_WITHIN")); err == nil {
			app.Within = within
		}
	}
	shop, err := h.App(ctx, n, app)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "the shop was", shop.Outcome())
	dir, err := h.Dir("")
	if err != nil {
		return err
	}
	return dir.WriteFile("address", []byte(shop.Address("web")))
}

// Labels makes price labels.
type Labels interface {
	Label(ctx context.Context, price string) (string, error)
}

type labels struct {
	divisi.Implements[Labels]
}

// Init fails while there is the file "jam" in the folder of the program, and if SHOP_FAULT says so; or it waits.
func (*labels) Init(ctx context.Context) error {
	switch os.Getenv("SHOP_FAULT") {
	case "hangs":
		fmt.Println("the printer of labels warms up")
		for {
			if _, err := os.Stat("warm"); err == nil {
				return nil
			}
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	case "fails":
		return errors.New("there is no printer of labels")
	}
	if _, err := os.Stat("jam"); err == nil {
		return errors.New("the printer of labels is jammed")
	}
	return nil
}

// Label returns the edition, unless there is no price.
func (*labels) Label(_ context.Context, price string) (string, error) {
	if price != "7" {
		return "", fmt.Errorf("the price is %q", price)
	}
	return edition, nil
}

type app struct {
	divisi.Implements[divisi.Main]
	labels divisi.Ref[Labels]
	web    divisi.Listener
}

// Init returns once there are labels: the application has not started before that. With SHOP_EAGER it serves at once.
func (a *app) Init(ctx context.Context) error {
	if os.Getenv("SHOP_EAGER") != "" {
		return nil
	}
	_, err := a.labels.Get().Label(ctx, "7")
	return err
}

// page answers with what the label of a price says, once it has all of the request. At /slow it begins to answer
// before that, so that whoever asks knows that it is being served.
func (a *app) page(prices string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			begin := http.NewResponseController(w)
			if err := errors.Join(begin.EnableFullDuplex(), begin.Flush()); err != nil {
				panic(err)
			}
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			panic(http.ErrAbortHandler) // nobody hears an answer
		}

		label, err := a.answer(r.Context(), prices)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		fmt.Fprint(w, label)
	}
}

func (a *app) answer(ctx context.Context, prices string) (string, error) {
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+prices, nil)
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(ask)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	price, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err
	}
	return a.labels.Get().Label(ctx, string(price))
}
