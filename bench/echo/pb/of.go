package pb

import "github.com/divisi-go/divisi/bench/load"

// Of returns a message for protocol buffers.
func Of(m load.Message) *Message {
	p := &Message{
		Id: m.ID, Created: m.Created, Changed: m.Changed, Kind: m.Kind, State: m.State,
		Weight: m.Weight, Volume: m.Volume, Paid: m.Paid, Sent: m.Sent,
		Name: m.Name, Email: m.Email, Phone: m.Phone, Remark: m.Remark,
		Tags: m.Tags, Counts: m.Counts, Prices: m.Prices, Labels: m.Labels,
		Address: &Address{Street: m.Address.Street, City: m.Address.City, Number: m.Address.Number},
		Picture: m.Picture,
	}
	for _, item := range m.Items {
		p.Items = append(p.Items, &Item{Name: item.Name, Price: item.Price})
	}
	return p
}
