import jwt
from django.conf import settings
from rest_framework import authentication, exceptions

from .models import User


class JWTAuthentication(authentication.BaseAuthentication):
    def authenticate(self, request):
        header = authentication.get_authorization_header(request).split()
        if len(header) != 2 or header[0].lower() != b"bearer":
            return None
        token = header[1].decode("utf-8")
        try:
            payload = jwt.decode(token, settings.SECRET_KEY, algorithms=["HS256"])
        except jwt.InvalidTokenError:
            raise exceptions.AuthenticationFailed("Invalid authentication. Could not decode token.")
        try:
            user = User.objects.get(pk=payload["id"])
        except User.DoesNotExist:
            raise exceptions.AuthenticationFailed("No user matching this token was found.")
        if not user.is_active:
            raise exceptions.AuthenticationFailed("This user has been deactivated.")
        return (user, token)
