// Testapp is an application that makes spans of its own with OpenTelemetry.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/divisi-go/divisi"
	"github.com/divisi-go/divisi/opentelemetry"
)

// Scale weighs things.
type Scale interface {
	Weigh(ctx context.Context, thing string) (int, error)
}

type scale struct{ divisi.Implements[Scale] }

func (*scale) Weigh(ctx context.Context, thing string) (int, error) {
	_, span := otel.Tracer("testapp").Start(ctx, "weigh", trace.WithAttributes(attribute.String("thing", thing)))
	defer span.End()
	span.AddEvent("settled", trace.WithAttributes(attribute.Float64("grams", 2.5)))
	span.SetStatus(codes.Error, "too light")
	return len(thing), nil
}

type app struct {
	divisi.Implements[divisi.Main]
	scale divisi.Ref[Scale]
	web   divisi.Listener
}

func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, span := otel.Tracer("testapp").Start(r.Context(), "plan")
	defer span.End()
	n, err := a.scale.Get().Weigh(ctx, "feather")
	fmt.Fprintln(w, n, err)
}

func main() {
	ctx := opentelemetry.Context(context.Background())
	err := divisi.Run(ctx, func(ctx context.Context, a *app) error {
		return http.Serve(a.web, divisi.InstrumentHandler("web", a))
	})
	if err != nil {
		log.Fatal(err)
	}
}
