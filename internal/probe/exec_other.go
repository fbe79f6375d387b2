//go:build !unix

package probe

import (
	"context"
	"errors"
)

func (p Probe) run(context.Context, Target) error {
	return errors.New("there is no shell to run it on this system")
}
