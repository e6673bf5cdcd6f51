"""Small tools that know nothing of aistack but its errors."""
