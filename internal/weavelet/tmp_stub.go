package weavelet

import (
	"context"
	"fmt"
)

func runRemote(ctx context.Context, app Application, files inherited) error { return nil }

func (w *Weavelet) await(ctx context.Context, component string) (*part, error) {
	p, ok := w.lookup(component)
	if !ok {
		return nil, fmt.Errorf("no")
	}
	<-p.started
	return p, p.err
}
