package replica

import (
	"context"
	"time"

	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/session"
)

// bootPause is how long after a boot record the next one is written.
const bootPause = 100 * time.Millisecond

// keepBoot writes the boot record again when the routes have changed, until the process ends.
func (a *Attempt) keepBoot() {
	if a.r.Launch.Boot == "" {
		return
	}

	for {
		select {
		case <-a.routes.change:
		case <-a.ctx.Done():
			return
		}
		a.writeBoot()

		select {
		case <-time.After(bootPause):
		case <-a.ctx.Done():
			return
		}
	}
}

// Settle returns when the process has been told everything, and its boot record has it, or ctx ends. It may
// wait.
func (a *Attempt) Settle(ctx context.Context) {
	a.routes.settle(ctx)
	a.writeBoot()
}

// writeBoot writes the boot record: what this deployer would say to a process that starts, for one that
// starts while there is none.
func (a *Attempt) writeBoot() {
	if a.r.Launch.Boot == "" {
		return
	}

	a.booting.Lock()
	defer a.booting.Unlock()
	record := session.Boot{Info: a.Introduction(), Components: a.r.Components, Routes: a.routes.all()}
	if err := record.Save(a.r.Launch.Boot); err != nil {
		a.r.warn("%s could not start without a deployer: %v", a.r.Name, err)
	}
}

// keep keeps a certificate for a process that finds no deployer, and reports whether it is kept.
func (a *Attempt) keep(reply *protos.GetSelfCertificateReply) bool {
	err := a.r.options.Keep(a.r.Launch, reply)
	if err != nil {
		a.r.warn("%s could not start without a deployer: its certificate is not kept: %v", a.r.Name, err)
	}
	return err == nil
}
