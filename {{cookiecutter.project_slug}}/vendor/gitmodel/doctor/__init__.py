"""What a forge must have for the gate to hold: checked live with gh, and set up once."""
