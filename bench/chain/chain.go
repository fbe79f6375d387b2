package main

import (
	"context"

	"github.com/divisi-go/divisi"
)

// link is what each component of the chain does: it passes a call on to the next one.
type link interface{ Pass(context.Context) error }

// The components of the chain.
type (
	First   link
	Second  link
	Third   link
	Fourth  link
	Fifth   link
	Sixth   link
	Seventh link
	Eighth  link
	Ninth   link
	Tenth   link
)

type (
	app struct {
		divisi.Implements[divisi.Main]
		first divisi.Ref[First]
	}
	first struct {
		divisi.Implements[First]
		next divisi.Ref[Second]
	}
	second struct {
		divisi.Implements[Second]
		next divisi.Ref[Third]
	}
	third struct {
		divisi.Implements[Third]
		next divisi.Ref[Fourth]
	}
	fourth struct {
		divisi.Implements[Fourth]
		next divisi.Ref[Fifth]
	}
	fifth struct {
		divisi.Implements[Fifth]
		next divisi.Ref[Sixth]
	}
	sixth struct {
		divisi.Implements[Sixth]
		next divisi.Ref[Seventh]
	}
	seventh struct {
		divisi.Implements[Seventh]
		next divisi.Ref[Eighth]
	}
	eighth struct {
		divisi.Implements[Eighth]
		next divisi.Ref[Ninth]
	}
	ninth struct {
		divisi.Implements[Ninth]
		next divisi.Ref[Tenth]
	}
	tenth struct{ divisi.Implements[Tenth] }
)

func (c *first) Pass(ctx context.Context) error   { return c.next.Get().Pass(ctx) }
func (c *second) Pass(ctx context.Context) error  { return c.next.Get().Pass(ctx) }
func (c *third) Pass(ctx context.Context) error   { return c.next.Get().Pass(ctx) }
func (c *fourth) Pass(ctx context.Context) error  { return c.next.Get().Pass(ctx) }
func (c *fifth) Pass(ctx context.Context) error   { return c.next.Get().Pass(ctx) }
func (c *sixth) Pass(ctx context.Context) error   { return c.next.Get().Pass(ctx) }
func (c *seventh) Pass(ctx context.Context) error { return c.next.Get().Pass(ctx) }
func (c *eighth) Pass(ctx context.Context) error  { return c.next.Get().Pass(ctx) }
func (c *ninth) Pass(ctx context.Context) error   { return c.next.Get().Pass(ctx) }
func (*tenth) Pass(context.Context) error         { return nil }

// plain is the chain without components.
type plain struct{ next link }

var _ link = plain{}

// Pass passes a call on; the last one does nothing, as the last component.
func (p plain) Pass(ctx context.Context) error {
	if p.next == nil {
		return nil
	}
	return p.next.Pass(ctx)
}
