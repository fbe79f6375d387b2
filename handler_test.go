package divisi

import (
	"context"
	"io"
	"net/http"
	"reflect"
	"testing"

	"github.com/divisi-go/divisi/codegen"
)

// TestHandlerInfo: the description that is written by hand is what the generator would write.
func TestHandlerInfo(t *testing.T) {
	want := codegen.Info{
		Name: "github.com/divisi-go/divisi/Main", Impl: "github.com/divisi-go/divisi/HTTP",
		Listeners: []string{"http"}, Main: true,
	}
	if httpInfo != want.Text() {
		t.Errorf("httpInfo = %q, want %q", httpInfo, want.Text())
	}
	if typ := reflect.TypeFor[HTTP](); typ.PkgPath()+"/"+typ.Name() != want.Impl {
		t.Errorf("the type is %v", typ)
	}
	fields, err := inspect(new(HTTP))
	if err != nil || len(fields.Listeners) != 1 || fields.Listeners[0].Name != "http" || len(fields.Refs) != 0 {
		t.Errorf("%+v, %v", fields, err)
	}
}

// TestHandler runs an http.Handler as an application of one process, and ends it.
func TestHandler(t *testing.T) {
	t.Setenv("DIVISI_CONFIG", "")
	t.Setenv("SERVICEWEAVER_CONFIG", "")
	before := counts("http")
	ctx, cancel := context.WithCancel(t.Context())
	address := make(chan string, 1)
	app := Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) }))
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, func(ctx context.Context, main *HTTP) error {
			address <- main.http.String()
			return app(ctx, main)
		})
	}()
	select {
	case a := <-address:
		client := http.Client{Transport: &http.Transport{}}
		defer client.CloseIdleConnections()
		resp, err := client.Get("http://" + a + "/path")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "/path" {
			t.Errorf("%q, %v", body, err)
		}
	case err := <-done:
		t.Fatalf("Run: %v", err)
	}
	if got := since(before, counts("http")); got["request_count 2"] != 1 {
		t.Errorf("counted %v", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}
