package notify

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Message is what a process says of itself in one datagram. What it does not say is zero.
type Message struct {
	Pid int // of the sender, as the kernel says it; 0 for one that cannot be seen from here

	Ready     bool
	Stopping  bool
	Reloading bool
	Status    *string // one line of text, without what would control a terminal
	MainPid   int     // of the process to watch in place of the one that was started
	Errno     int     // why it fails

	Alive    bool           // its watchdog's sign of life
	Hung     bool           // its watchdog takes it for hung
	Watchdog *time.Duration // within which the next sign of life is to come from now on; 0 for none
	Extend   time.Duration  // by which what it does now is to have longer, from now on

	Store  bool   // keep Files under FDName, beside those that are there
	Remove bool   // close what is kept under FDName
	FDName string // set with Store and Remove
	Files  []*os.File

	// Fault says what of the message is not understood, or got lost; the rest counts.
	Fault error
}

// Take returns the files, which are the caller's to close from then on.
func (m *Message) Take() []*os.File {
	files := m.Files
	m.Files = nil
	return files
}

const (
	storedName    = "stored" // of files without a name, as with systemd
	maxStoredName = 255
)

// parse reads assignments, one a line. Those that it does not know mean nothing; of those with the
// same name the first one counts. It reports whether the message is a barrier, which says nothing
// else.
func parse(data []byte) (m Message, barrier bool) {
	data = bytes.TrimRight(data, "\x00") // C programs send what ends their strings as well
	if bytes.IndexByte(data, 0) >= 0 {
		return Message{Fault: fmt.Errorf("a notification counts for nothing: it has a zero byte: %.40q", data)}, false
	}

	said := map[string]string{}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if _, again := said[name]; !again {
			said[name] = value
		}
	}
	if said["BARRIER"] == "1" {
		return Message{}, true
	}

	m = Message{
		Ready: said["READY"] == "1", Stopping: said["STOPPING"] == "1", Reloading: said["RELOADING"] == "1",
		Alive: said["WATCHDOG"] == "1", Hung: said["WATCHDOG"] == "trigger",
		Store: said["FDSTORE"] == "1", Remove: said["FDSTOREREMOVE"] == "1",
	}
	m.values(said)

	return m, false
}

// values takes what is more than a switch.
func (m *Message) values(said map[string]string) {
	var faults []error
	value := func(name string, take func(string) error) {
		text, ok := said[name]
		if !ok {
			return
		}
		if err := take(text); err != nil {
			faults = append(faults, fmt.Errorf("the notification %s=%.300q means nothing: %w", name, text, err))
		}
	}

	value("STATUS", func(text string) error {
		if !utf8.ValidString(text) {
			return errors.New("it is no UTF-8")
		}
		text = strings.Map(printable, text)
		m.Status = &text
		return nil
	})
	value("MAINPID", func(text string) (err error) {
		m.MainPid, err = number(text, 1)
		return err
	})
	value("ERRNO", func(text string) (err error) {
		m.Errno, err = number(text, 0)
		return err
	})
	value("WATCHDOG_USEC", func(text string) error {
		d, err := microseconds(text)
		if err == nil {
			m.Watchdog = &d
		}
		return err
	})
	value("EXTEND_TIMEOUT_USEC", func(text string) (err error) {
		m.Extend, err = microseconds(text)
		return err
	})
	if m.Store || m.Remove {
		m.FDName = storedName
		value("FDNAME", func(text string) error {
			if err := checkStoredName(text); err != nil {
				return err
			}
			m.FDName = text
			return nil
		})
	}

	m.Fault = errors.Join(faults...)
}

// number reads a number of 31 bits.
func number(text string, least int) (int, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || int(n) < least {
		return 0, fmt.Errorf("it is no number from %d to %d", least, math.MaxInt32)
	}

	return int(n), nil
}

// microseconds reads a time. One that is longer than any is the longest.
func microseconds(text string) (time.Duration, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, errors.New("it is no number of microseconds")
	}

	return time.Duration(min(n, math.MaxInt64/1000)) * time.Microsecond, nil
}

// checkStoredName holds names to what systemd takes, for they go to children in LISTEN_FDNAMES.
func checkStoredName(name string) error {
	bad := func(r rune) bool { return r < ' ' || r > '~' || r == ':' }
	if name == "" || len(name) > maxStoredName || strings.ContainsFunc(name, bad) {
		return fmt.Errorf("a name has 1 to %d printable characters of ASCII, and no colon", maxStoredName)
	}

	return nil
}

func printable(r rune) rune {
	if unicode.IsPrint(r) {
		return r
	}

	return ' '
}
