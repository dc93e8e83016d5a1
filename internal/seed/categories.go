package seed

import (
	"strings"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
)

// rule gives a category to products whose title has one of its words.
type rule struct {
	path  []string
	words []string
}

// rules for products that come without a category, the first that matches counts: what something is for stands before
// what it is ("printer cartridge" is no printer). Words match whole words, phrases as they stand.
var rules = []rule{
	{[]string{"Printing", "Toner & Ink"}, []string{"toner", "cartridge", "cartridges", "ink", "drum", "fuser", "developer", "ribbon", "printhead", "imaging unit", "waste container", "transfer belt"}},
	{[]string{"Printing", "Paper & Labels"}, []string{"labels", "label", "paper", "label-making", "sheets", "envelope", "envelopes", "film", "canvas", "media", "transparency", "labelling"}},
	{[]string{"Networking", "Network Cables"}, []string{"networking cable", "patch cable", "cat5e", "cat6", "cat6a", "cat5", "utp", "s/ftp", "fiber optic", "fibre optic", "multimode", "patch", "rj45", "snagless", "utp/stp"}},
	{[]string{"Accessories", "Cables"}, []string{"cable", "cables", "cord", "kabel", "lead", "extension"}},
	{[]string{"Power", "UPS & Batteries"}, []string{"(ups)", "ups", "uninterruptible", "battery", "batteries", "charger", "surge", "pdu", "(pdu)", "power", "outlet(s)", "inverter"}},
	{[]string{"Accessories", "Adapters & Hubs"}, []string{"adapter", "adapters", "converter", "splitter", "hub", "hubs", "docking", "dock", "gender changers", "coupler", "connector", "connectors", "kvm", "extender", "port replicator"}},
	{[]string{"Components", "Processors"}, []string{"processor", "processors", "cpu"}},
	{[]string{"Components", "Memory"}, []string{"memory module", "ddr4", "ddr3", "ddr2", "ddr", "sdram", "dimm", "ddr4-sdram", "ram", "memory"}},
	{[]string{"Components", "Motherboards & Cards"}, []string{"motherboard", "mainboard", "graphics card", "geforce", "radeon", "pci", "pci-e", "controller", "raid", "interface cards/adapter", "sound card", "tuner"}},
	{[]string{"Components", "Cases & Cooling"}, []string{"atx", "computer case", "cooler", "cooling", "fan", "heatsink", "computer cooling", "midi-tower", "tower", "chassis"}},
	{[]string{"Storage", "Drives"}, []string{"ssd", "hdd", "hard drive", "hard disk", "solid state", "sata", "sas", "nas", "flash drive", "disk array", "tape drive", "drive bay", "memory card", "microsd", "compactflash", "optical disc drive", "internal", "external"}},
	{[]string{"Storage", "Discs & Tapes"}, []string{"cd-r", "dvd-r", "dvd+r", "cd-rw", "dvd-rw", "blu-ray", "blank", "data cartridge", "tape", "lto", "disc", "cd", "dvd"}},
	{[]string{"Computers", "Notebooks"}, []string{"notebook", "laptop", "chromebook", "netbook", "ultrabook", "thinkpad"}},
	{[]string{"Computers", "Desktops & Servers"}, []string{"server", "workstation", "desktop", "pc", "all-in-one", "thin client", "proliant", "poweredge", "mini pc", "blade"}},
	{[]string{"Displays", "Monitors"}, []string{"monitor", "monitors", "lcd", "led display", "tv", "television", "signage", "display", "touchscreen", "screen", "flat panel"}},
	{[]string{"Displays", "Projectors"}, []string{"projector", "projectors", "projection", "lamp", "lumens"}},
	{[]string{"Printing", "Printers & Scanners"}, []string{"printer", "printers", "scanner", "multifunction", "multifunctional", "laserjet", "inkjet", "copier", "fax", "plotter", "phaser", "photocopier", "designjet", "duplex", "mfp"}},
	{[]string{"Networking", "Switches & Wireless"}, []string{"switch", "router", "wireless", "wi-fi", "wlan", "access point", "gigabit", "ethernet", "modem", "network", "transceiver", "firewall", "bluetooth", "antenna", "gateway", "poe", "sfp", "lan"}},
	{[]string{"Audio", "Headphones & Speakers"}, []string{"headphones", "headset", "headphone", "earphones", "speaker", "speakers", "soundbar", "loudspeaker", "microphone", "audio", "stereo", "mp3", "mp4", "radio", "hi-fi", "amplifier", "subwoofer", "karaoke", "phono", "dictaphone", "player"}},
	{[]string{"Photo & Video", "Cameras"}, []string{"camera", "cameras", "lens", "camcorder", "webcam", "tripod", "photo", "dslr", "binoculars", "flash", "cctv", "surveillance", "conference", "conferencing", "video"}},
	{[]string{"Accessories", "Keyboards & Mice"}, []string{"keyboard", "mouse", "mice", "trackball", "joystick", "gamepad", "stylus", "touchpad", "presenter", "numeric", "remote control", "pointer"}},
	{[]string{"Accessories", "Bags & Covers"}, []string{"bag", "backpack", "sleeve", "case", "cover", "skin", "pouch", "holster", "briefcase", "protector", "privacy", "filter", "folio"}},
	{[]string{"Accessories", "Mounts & Racks"}, []string{"mount", "mounts", "rack", "bracket", "stand", "holder", "shelf", "cabinet", "arm", "trolley", "rail", "ceiling", "wall", "desk", "panel", "enclosure", "tray", "cart"}},
	{[]string{"Phones", "Phones & Tablets"}, []string{"phone", "smartphone", "telephone", "tablet", "voip", "ip phone", "mobile", "handset", "dect", "gps", "navigator", "smartwatch", "e-book"}},
	{[]string{"Software & Services", "Licences & Warranties"}, []string{"warranty", "software", "license", "licence", "license(s)", "service", "support", "upgrade", "windows", "office", "antivirus", "year", "maintenance", "care pack"}},
	{[]string{"Office", "Supplies"}, []string{"calculator", "shredder", "laminator", "laminating", "stapler", "binder", "pen", "whiteboard", "cleaning", "kit", "binding", "cleaner", "wipes", "lock", "marker", "badge", "barcode", "cash", "pos"}},
	{[]string{"Home", "Appliances"}, []string{"vacuum", "coffee", "refrigerator", "oven", "washing", "iron", "toaster", "kettle", "blender", "shaver", "hair", "toothbrush", "dishwasher", "freezer", "fridge", "hood", "hob", "microwave", "cooker", "espresso", "light", "bulb", "lighting", "mixer", "grill", "razor", "epilator", "baby"}},
	{[]string{"Toys", "Toys & Puzzles"}, []string{"puzzle", "jigsaw", "doll", "game", "toy", "playset", "figure", "games", "plush", "board game"}},
	{[]string{"Printing", "Toner & Ink"}, []string{"singlepack", "multipack", "original", "t-tape"}},
	{[]string{"Accessories", "Adapters & Hubs"}, []string{"gender", "changer", "microfilter", "firewire", "pcie"}},
	{[]string{"Power", "Supplies"}, []string{"supply", "psu", "w", "va", "ac", "volt"}},
	{[]string{"Accessories", "Spare Parts"}, []string{"accessory", "module", "card", "spare", "assembly", "board", "unit", "bezel", "tool", "port", "sensor"}},
}

// unsorted is for products that no rule knows.
var unsorted = []string{"Other", "Everything Else"}

// wordRules finds the first rule of a single word; phraseRules have several words.
var wordRules, phraseRules = func() (map[string]int, map[string]int) {
	words, phrases := map[string]int{}, map[string]int{}
	for i := range rules {
		for _, w := range rules[i].words {
			into := words
			if strings.Contains(w, " ") {
				into = phrases
			}
			if _, earlier := into[w]; !earlier {
				into[w] = i
			}
		}
	}
	return words, phrases
}()

// categorize a product by its title and, where that says nothing, by its type and description.
func categorize(p *catalogv1.Product) []string {
	for _, s := range []string{p.GetTitle(), p.GetAttributes()["product type"], p.GetAttributes()["type"], p.GetDescription()} {
		if path := categoryOf(s); path != nil {
			return path
		}
	}
	return unsorted
}

func categoryOf(s string) []string {
	s = strings.ToLower(s)
	best := len(rules)
	for phrase, i := range phraseRules {
		if i < best && strings.Contains(s, phrase) {
			best = i
		}
	}
	for _, word := range strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' || r == ';' || r == '"' }) {
		if i, ok := wordRules[strings.Trim(word, ".:")]; ok && i < best {
			best = i
		}
	}
	if best == len(rules) {
		return nil
	}
	return rules[best].path
}
