package ground

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/divisi-go/divisi/lab/fabric"
)

// maxFrame is the longest frame that a device hands over.
const maxFrame = 64 << 10

// network is the switch: it does what a [fabric.Fabric] decides. One goroutine owns the fabric; devices are read and
// written on others.
type network struct {
	fabric   *fabric.Fabric
	plugs    map[int]*plug
	arrivals chan arrival
	orders   chan func()
}

// plug is the device of one host.
type plug struct {
	device *os.File
	out    chan []byte
}

// arrival is a frame that a host has sent.
type arrival struct {
	host  int
	from  *plug
	frame []byte
}

func newNetwork(f *fabric.Fabric) *network {
	return &network{fabric: f, plugs: map[int]*plug{}, arrivals: make(chan arrival, 256), orders: make(chan func())}
}

// Serve carries frames until the context ends.
func (n *network) Serve(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case a := <-n.arrivals:
			if n.plugs[a.host] == a.from { // else the host has lost its power meanwhile
				n.fabric.Carry(time.Now(), a.host, a.frame)
			}
		case order := <-n.orders:
			order()
		case <-timer.C:
		}

		n.deliver()
		if next, some := n.fabric.Next(); some {
			timer.Reset(time.Until(next))
		}
	}
}

// deliver hands what has arrived to the devices. A device that takes nothing loses it, as any does.
func (n *network) deliver() {
	for _, d := range n.fabric.Due(time.Now()) {
		p := n.plugs[d.To]
		if p == nil {
			continue
		}
		select {
		case p.out <- d.Frame:
		default:
		}
	}
}

// do has the goroutine that owns the fabric do something, and waits for it.
func (n *network) do(f func()) {
	done := make(chan struct{})
	n.orders <- func() {
		defer close(done)
		f()
	}
	<-done
}

// join adds the device of a host.
func (n *network) join(host int, device *os.File) {
	p := &plug{device: device, out: make(chan []byte, 1024)}
	n.do(func() { n.plugs[host] = p })

	go func() {
		for frame := range p.out {
			_, _ = device.Write(frame) // the host is not there, or has no memory: the frame is lost
		}
	}()
	go func() {
		buffer := make([]byte, maxFrame)
		for {
			size, err := device.Read(buffer)
			if err != nil {
				return
			}
			n.arrivals <- arrival{host, p, append([]byte(nil), buffer[:size]...)}
		}
	}()
}

// leave removes the device of a host, with all frames to it and from it. From then on nobody hears of the host; what
// runs there still has its network until the device is closed.
func (n *network) leave(host int) (device io.Closer) {
	n.do(func() {
		p := n.plugs[host]
		delete(n.plugs, host)
		n.fabric.Forget(host)
		close(p.out)
		device = p.device // closing it ends its reader
	})
	return device
}
