package quantity

import "testing"

func TestPortRangesAreWrittenAsTheyAreRead(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{"443/tcp": true, "1-65535/udp": true, "0/tcp": false, "443": false, "9-8/tcp": false, "1/sctp": false} {
		var p PortRange
		if err := p.UnmarshalText([]byte(text)); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		} else if back, _ := p.MarshalText(); ok && string(back) != text {
			t.Errorf("%s becomes %s", text, back)
		}
	}
}
