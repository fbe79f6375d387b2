package control

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"
)

// Line is a line of the log of a server that is on another host than its program, or what there is to say of the host.
type Line struct {
	Host    string `json:"host"`
	Server  string `json:"server,omitempty"`  // such as "web@/fleet/eu"
	Text    string `json:"text,omitempty"`    // as package logline has it
	Problem string `json:"problem,omitempty"` // why nothing is heard of the host
	Told    bool   `json:"told,omitempty"`    // what there was of all hosts when somebody began to listen is told
}

// Hearing says what is wanted of the lines of other hosts.
type Hearing struct {
	Server string // full name; "" for all
	Follow bool   // go on with what is said from now on
	Last   bool   // of what there is the end is enough
}

// HearingOf reads parameters of the control API. What is no truth is false.
func HearingOf(v url.Values) Hearing {
	truth := func(key string) bool {
		is, _ := strconv.ParseBool(v.Get(key))
		return is
	}
	return Hearing{Server: v.Get("server"), Follow: truth("follow"), Last: truth("last")}
}

// Elsewhere hands on the lines of servers on other hosts until there are no more, or ctx ends.
func (c *Client) Elsewhere(ctx context.Context, h Hearing, show func(Line) error) error {
	form := url.Values{"server": {h.Server}, "follow": {strconv.FormatBool(h.Follow)}, "last": {strconv.FormatBool(h.Last)}}
	return c.Stream(ctx, "elsewhere", form, func(text json.RawMessage) error {
		var line Line
		if err := json.Unmarshal(text, &line); err != nil {
			return err
		}
		return show(line)
	})
}
