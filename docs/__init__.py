"""The site: pages made from the guide, and what MkDocs needs to build them."""
