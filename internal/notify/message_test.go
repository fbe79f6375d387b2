package notify

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"
)

func TestParse(t *testing.T) {
	text := func(s string) *string { return &s }
	span := func(d time.Duration) *time.Duration { return &d }

	for data, want := range map[string]Message{
		"":                                     {},
		"READY=1":                              {Ready: true},
		"READY=1\n\x00":                        {Ready: true},
		"READY=0\nREADY":                       {},
		"READY=0\nREADY=1":                     {}, // the first one counts
		"READY=1\nSTATUS=serves\nX=1\n=\n\n":   {Ready: true, Status: text("serves")},
		"STATUS=":                              {Status: text("")},
		"STATUS=a=b\x1b[2J\tc":                 {Status: text("a=b [2J c")},
		"STOPPING=1\nRELOADING=1":              {Stopping: true, Reloading: true},
		"RELOADING=1\nMONOTONIC_USEC=17":       {Reloading: true},
		"MAINPID=17\nERRNO=2":                  {MainPid: 17, Errno: 2},
		"WATCHDOG=1":                           {Alive: true},
		"WATCHDOG=trigger":                     {Hung: true},
		"WATCHDOG_USEC=20000":                  {Watchdog: span(20 * time.Millisecond)},
		"WATCHDOG_USEC=0":                      {Watchdog: span(0)},
		"EXTEND_TIMEOUT_USEC=1000000":          {Extend: time.Second},
		"FDSTORE=1":                            {Store: true, FDName: "stored"},
		"FDSTORE=1\nFDNAME=web":                {Store: true, FDName: "web"},
		"FDSTOREREMOVE=1\nFDNAME=web":          {Remove: true, FDName: "web"},
		"FDNAME=web":                           {},
		"EXTEND_TIMEOUT_USEC=9999999999999999": {Extend: time.Duration(9223372036854775) * time.Microsecond},
	} {
		got, barrier := parse([]byte(data))
		if barrier || got.Fault != nil || asJSON(t, got) != asJSON(t, want) {
			t.Errorf("%q is %s (%v, barrier %v), want %s", data, asJSON(t, got), got.Fault, barrier, asJSON(t, want))
		}
	}

	if m, barrier := parse([]byte("BARRIER=1\nREADY=1")); !barrier || m.Ready {
		t.Errorf("a barrier is %v, %+v", barrier, m)
	}
}

func TestParseFaults(t *testing.T) {
	for data, want := range map[string]string{
		"MAINPID=0":                `the notification MAINPID="0" means nothing: it is no number from 1 to 2147483647`,
		"MAINPID=99999999999":      `MAINPID="99999999999"`,
		"ERRNO=-1":                 `ERRNO="-1"`,
		"WATCHDOG_USEC=soon":       `WATCHDOG_USEC="soon" means nothing: it is no number of microseconds`,
		"EXTEND_TIMEOUT_USEC=":     `EXTEND_TIMEOUT_USEC=""`,
		"STATUS=\xff":              "it is no UTF-8",
		"STATUS=a\x00READY=1":      "it has a zero byte",
		"FDSTORE=1\nFDNAME=a:b":    `FDNAME="a:b" means nothing: a name has 1 to 255 printable characters of ASCII, and no colon`,
		"FDSTORE=1\nFDNAME=":       `FDNAME=""`,
		"FDSTORE=1\nFDNAME=\u00e9": "FDNAME=",
	} {
		got, _ := parse([]byte(data))
		if got.Fault == nil || !strings.Contains(got.Fault.Error(), want) {
			t.Errorf("the fault of %q is %v, want %s", data, got.Fault, want)
		}
	}

	// What else the message says counts.
	got, _ := parse([]byte("MAINPID=x\nREADY=1\nFDSTORE=1\nFDNAME=:"))
	if !got.Ready || got.MainPid != 0 || got.FDName != storedName {
		t.Errorf("beside faults: %+v", got)
	}
}

func asJSON(t *testing.T, m Message) string {
	t.Helper()
	m.Fault = nil
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}

	return string(data)
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("READY=1\nSTATUS=serves\nMAINPID=17\nERRNO=2\n"))
	f.Add([]byte("WATCHDOG=1\nWATCHDOG_USEC=20000\nEXTEND_TIMEOUT_USEC=18446744073709551615"))
	f.Add([]byte("FDSTORE=1\nFDNAME=web\x00"))
	f.Add([]byte("BARRIER=1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, barrier := parse(data)
		switch {
		case barrier && asJSON(t, m) != asJSON(t, Message{}):
			t.Errorf("a barrier says %+v", m)
		case m.MainPid < 0, m.Errno < 0, m.Extend < 0, m.Watchdog != nil && *m.Watchdog < 0:
			t.Errorf("less than nothing: %+v", m)
		case m.Status != nil && strings.ContainsFunc(*m.Status, unicode.IsControl):
			t.Errorf("the status controls a terminal: %q", *m.Status)
		case (m.Store || m.Remove) != (checkStoredName(m.FDName) == nil):
			t.Errorf("files are kept under %q: %+v", m.FDName, m)
		}
	})
}
