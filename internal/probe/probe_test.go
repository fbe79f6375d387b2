package probe

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, text := range []string{
		"notify", "port", "port:8080", "port:db.local:5432", "port:[::1]:80", "http:/healthz", "http:/a?b=c",
		"http://localhost:8080/healthz", "http://[::1]/", "https://example.com", "file:run/ready", "file:/run/a b:c",
		"exec:pg_isready -q && test -f x", `log:listening on .*:\d+$`, "log: ",
	} {
		p, err := Parse(text)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := p.String(); got != text {
			t.Errorf("%q is %q", text, got)
		}
	}
	if got := (Probe{}).String(); got != "" {
		t.Errorf("no probe is %q", got)
	}
}

func TestParseFaults(t *testing.T) {
	for text, want := range map[string]string{
		"":                        `the probe "" is none of notify, port, port:PORT, port:HOST:PORT, http:/PATH`,
		"tcp:80":                  `the probe "tcp:80" is none of notify`,
		"Notify":                  `is none of`,
		"notify:":                 `the probe "notify:": notify has no argument; write notify, port, `,
		"port:":                   `"" is no port from 1 to 65535`,
		"port:0":                  `"0" is no port`,
		"port:65536":              `"65536" is no port`,
		"port:http":               `"http" is no port`,
		"port:a:b:1":              `too many colons`,
		"http":                    `its path does not begin with /`,
		"http:healthz":            `the probe "http:healthz": its path does not begin with /; write`,
		"http:///healthz":         `it has no host`,
		"https:/healthz":          `it has no host`,
		"http:/%zz":               `invalid URL escape`,
		"http://a b/":             `invalid`,
		"file:":                   `file has no argument`,
		"exec: ":                  `exec has no argument`,
		"exec":                    `exec has no argument`,
		"log:":                    `it has no regular expression`,
		"log:(":                   `missing closing )`,
		"file:a\x00":              `it has a zero byte`,
		strings.Repeat("x", 5000): `has 5000 bytes, and may have 4096`,
	} {
		if p, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q is %+v, %v, want %s", text, p, err, want)
		}
	}
}

func TestMatches(t *testing.T) {
	p, err := Parse(`log:listening on .*:\d+$`)
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]bool{
		"listening on [::]:80":                  true,
		"now listening on localhost:8080":       true,
		"listening on [::]:80, and nobody else": false,
		"":                                      false,
	} {
		if got := p.Matches([]byte(line)); got != want {
			t.Errorf("%q matches: %v", line, got)
		}
	}
	if (Probe{Kind: Notify}).Matches([]byte("READY=1")) {
		t.Error("what is no probe of lines matches one")
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"notify", "port:[::1]:80", "http:/a?b", "https://a:1/b", "file:x", "exec:true", "log:^a+$"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text)
		if err != nil {
			if p.Kind != "" {
				t.Errorf("%q is %+v and %v", text, p, err)
			}
			return
		}
		again, err := Parse(p.String())
		if err != nil || p.String() != text || again.Kind != p.Kind || again.argument != p.argument || again.port != p.port {
			t.Errorf("%q is %+v, which is %q, which is %+v, %v", text, p, p, again, err)
		}
	})
}
