package inside

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/divisi-go/divisi/internal/namespace"
	"github.com/divisi-go/divisi/lab/fabric"
	"github.com/divisi-go/divisi/lab/protocol"
)

// device is what a host calls its connection with the switch.
const device = "eth0"

// Of <linux/if_arp.h>.
const (
	etherType  = 1
	entryKnown = 0x02 | 0x04 // complete, and for ever
)

// joinNetwork gives this process's network its own device and addresses, and returns the other end of the device:
// what is read there was sent by this host, and what is written there arrives at it.
//
// All hosts know each other's hardware addresses from the beginning. So a cut is silence, as it is where routers are in
// between, and losses are losses of what programs send.
func joinNetwork(number, hosts int) (*os.File, error) {
	end, err := openDevice(number)
	if err != nil {
		return nil, err
	}

	err = configure(number, hosts)
	if err != nil {
		_ = end.Close()
		return nil, err
	}
	return end, nil
}

// Allowed returns a [namespace.ForbiddenError] where this user cannot have such devices.
func Allowed() error {
	fd, err := openTun()
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// openTun opens what makes devices.
func openTun() (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, unix.EACCES):
		err = namespace.Lacking("a lab needs /dev/net/tun, which this user may not open: have root run chmod 666 /dev/net/tun", err)
	case err != nil:
		err = namespace.Lacking("a lab needs /dev/net/tun: load the module tun, or have the container show the device", err)
	}
	return fd, err
}

// openDevice makes the device.
func openDevice(number int) (*os.File, error) {
	fd, err := openTun()
	if err != nil {
		return nil, err
	}
	ifr, err := unix.NewIfreq(device)
	if err != nil {
		return nil, err
	}
	ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("cannot make the device %s of %s: %w", device, protocol.AddressText(number), err)
	}
	return os.NewFile(uintptr(fd), "/dev/net/tun"), nil
}

// configure gives the devices of this network their addresses, and tells the kernel of all hosts.
func configure(number, hosts int) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)

	// The device has no addresses of its own making, which would be asked for by frames of their own.
	_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+device+"/disable_ipv6", []byte("1"), 0)

	address := protocol.Address(number)
	hardware := fabric.Hardware(number)
	steps := []struct {
		device string
		what   uint
		value  []byte
	}{
		{"lo", unix.SIOCSIFFLAGS, binary.NativeEndian.AppendUint16(nil, unix.IFF_UP|unix.IFF_RUNNING)},
		{device, unix.SIOCSIFHWADDR, append(binary.NativeEndian.AppendUint16(nil, etherType), hardware[:]...)},
		{device, unix.SIOCSIFADDR, inet(address)},
		{device, unix.SIOCSIFNETMASK, inet([4]byte{255, 255, 255, 0})},
		{device, unix.SIOCSIFFLAGS, binary.NativeEndian.AppendUint16(nil, unix.IFF_UP|unix.IFF_RUNNING)},
	}
	for _, step := range steps {
		var ifreq [40]byte
		copy(ifreq[:unix.IFNAMSIZ], step.device)
		copy(ifreq[unix.IFNAMSIZ:], step.value)
		if err := ioctl(s, step.what, ifreq[:]); err != nil {
			return fmt.Errorf("cannot configure %s of %s: %w", step.device, protocol.AddressText(number), err)
		}
	}

	for other := range hosts {
		if other == number {
			continue
		}
		if err := ioctl(s, unix.SIOCSARP, neighbour(other)); err != nil {
			return fmt.Errorf("cannot tell %s of %s: %w", protocol.AddressText(number), protocol.AddressText(other), err)
		}
	}
	return nil
}

// inet returns an address as the kernel takes it.
func inet(address [4]byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, unix.AF_INET)
	b = append(b, 0, 0) // the port
	return append(b, address[:]...)
}

// neighbour returns the struct arpreq of a host: where frames for its address go to.
func neighbour(host int) []byte {
	var arpreq [68]byte
	hardware := fabric.Hardware(host)
	copy(arpreq[0:], inet(protocol.Address(host)))
	copy(arpreq[16:], append(binary.NativeEndian.AppendUint16(nil, etherType), hardware[:]...))
	binary.NativeEndian.PutUint32(arpreq[32:], entryKnown)
	copy(arpreq[52:], device)
	return arpreq[:]
}

func ioctl(fd int, what uint, value []byte) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(what), uintptr(unsafe.Pointer(&value[0])))
	if errno != 0 {
		return errno
	}
	return nil
}
