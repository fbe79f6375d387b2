// Package frontend is the shop's website.
package frontend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/divisi-go/divisi"
	"github.com/divisi-go/divisi/examples/shop/ads"
	"github.com/divisi-go/divisi/examples/shop/assets"
	"github.com/divisi-go/divisi/examples/shop/cart"
	"github.com/divisi-go/divisi/examples/shop/catalog"
	"github.com/divisi-go/divisi/examples/shop/checkout"
	"github.com/divisi-go/divisi/examples/shop/currency"
	"github.com/divisi-go/divisi/examples/shop/recommendations"
)

// Server is the main component.
type Server struct {
	divisi.Implements[divisi.Main]
	divisi.WithConfig[config]
	shop            divisi.Listener
	ads             divisi.Ref[ads.Ads]
	assets          divisi.Ref[assets.Assets]
	cart            divisi.Ref[cart.Cart]
	catalog         divisi.Ref[catalog.Catalog]
	checkout        divisi.Ref[checkout.Checkout]
	currency        divisi.Ref[currency.Currency]
	recommendations divisi.Ref[recommendations.Recommendations]
}

// config is the section "github.com/divisi-go/divisi/Main".
type config struct {
	// SessionKey signs the customers' cookies. All replicas need the same one; without it, a
	// built-in one keeps accidents out, but nobody who has read this program.
	SessionKey string `toml:"session_key"`
}

const (
	minKey     = 16 // bytes
	builtInKey = "not a secret: set session_key"
)

// Validate implements the check of WithConfig.
func (c *config) Validate() error {
	if c.SessionKey != "" && len(c.SessionKey) < minKey {
		return fmt.Errorf("session_key has %d bytes, and needs at least %d", len(c.SessionKey), minKey)
	}
	return nil
}

// Serve serves the website until ctx ends and the last visitor has got an answer.
func Serve(ctx context.Context, s *Server) error {
	if s.Config().SessionKey == "" {
		s.Logger(ctx).Warn("no session_key is configured: carts are signed with a key that is no secret")
	}
	s.Logger(ctx).Info("the store is open", "address", s.shop.Addr().String())
	server := &http.Server{
		Handler:           lastAnswers(ctx, s.site(ctx).handler()),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		// The end of ctx is the end of new requests, not of those that are being served.
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	err := server.Serve(&s.shop)
	if errors.Is(err, net.ErrClosed) && ctx.Err() != nil {
		return nil
	}
	return err
}

func (s *Server) site(ctx context.Context) *site {
	self := s.Self()
	self.Component = "frontend" // which says more to visitors than "main"
	return &site{
		backend: backend{
			ads:             s.ads.Get(),
			assets:          s.assets.Get(),
			cart:            s.cart.Get(),
			catalog:         s.catalog.Get(),
			checkout:        s.checkout.Get(),
			currency:        s.currency.Get(),
			recommendations: s.recommendations.Get(),
		},
		self:   self,
		jar:    jar{key: []byte(cmp.Or(s.Config().SessionKey, builtInKey))},
		logger: s.Logger(ctx),
	}
}

// lastAnswers asks browsers not to use a connection again once ctx has ended, so that even one
// that is never idle moves on.
func lastAnswers(ctx context.Context, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ctx.Err() != nil {
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(w, r)
	})
}
