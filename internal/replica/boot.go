package replica

import (
	"time"

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

// writeBoot writes the boot record: what this deployer would say to a process that starts, for one that
// starts while there is none.
func (a *Attempt) writeBoot() {
	if a.r.Launch.Boot == "" {
		return
	}

	record := session.Boot{Info: a.Introduction(), Components: a.r.Components, Routes: a.routes.all()}
	if err := record.Save(a.r.Launch.Boot); err != nil {
		a.r.warn("%s could not start without a deployer: %v", a.r.Name, err)
	}
}
